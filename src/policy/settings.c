/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "base/mem.h"
#include "policy/load.h"

enum { LOG_LIMIT_MAX = 1000000, PREFIX_MAX = 60 };

int zt_settings_init(struct zt_settings *s)
{
	*s = (struct zt_settings){.log_blocked = true,
				  .preserve_ssh = true,
				  .preserve_established = true,
				  .log_limit = 10,
				  .log_limit_per = ZT_PER_SECOND,
				  .log_prefix = zt_strdup("ZT-BLOCKED: ")};
	return s->log_prefix ? 0 : -ENOMEM;
}

static void set_bool(const struct zt_node *v, bool *ret)
{
	if (v)
		*ret = !strcmp(v->text, "true");
}

/* The numbers of the words are those of the enums. */
static int word(const struct zt_node *v, const char *values, int otherwise)
{
	return v ? zt_word_index(values, v->text) : otherwise;
}

static int read_defaults(struct zt_load *l, const struct zt_node *v, struct zt_settings *s)
{
	struct zt_fields f;
	int r;

	if (v->kind == ZT_NODE_SCALAR) {
		s->def[0] = s->def[1] = s->def[2] = (enum zt_default)zt_word_index("deny|allow", v->text);
		return 0;
	}
	r = zt_fields_read(l->doc, ZT_MAP_DEFAULTS, v, false, &f, l->d);
	s->def[ZT_DIR_EGRESS] = (enum zt_default)word(zt_field(&f, DEFAULTS, EGRESS), "deny|allow", ZT_DEFAULT_DENY);
	s->def[ZT_DIR_INGRESS] = (enum zt_default)word(zt_field(&f, DEFAULTS, INGRESS), "deny|allow", ZT_DEFAULT_DENY);
	s->def[ZT_DIR_FORWARD] = (enum zt_default)word(zt_field(&f, DEFAULTS, FORWARD), "deny|allow", ZT_DEFAULT_DENY);
	return r;
}

static int read_prefix(struct zt_load *l, const struct zt_node *v, struct zt_settings *s)
{
	bool ok = v->n <= PREFIX_MAX;
	char *copy;

	for (uint32_t i = 0; ok && i < v->n; i++)
		ok = v->text[i] >= ' ' && v->text[i] < 0x7f && !strchr("\"'\\", v->text[i]);
	if (!ok) {
		(void)zt_complain(l, 1221, v, "the kernel's log cannot take this prefix"); /* the result follows */
		zt_diag_hint(l->d, "1 to 60 printable ASCII characters without quotes and backslashes");
		return -EINVAL;
	}
	copy = zt_strdup(v->text);
	if (!copy)
		return -ENOMEM;
	free(s->log_prefix);
	s->log_prefix = copy;
	return 0;
}

static int read_limit(struct zt_load *l, const struct zt_node *v, struct zt_settings *s)
{
	size_t digits = strcspn(v->text, "/");
	char number[16];
	uint64_t n;
	int per = v->text[digits] ? zt_word_index("second|minute|hour|day", v->text + digits + 1) : -1;

	if (per >= 0 && digits < sizeof(number)) {
		memcpy(number, v->text, digits);
		number[digits] = '\0';
		if (zt_parse_u64(number, LOG_LIMIT_MAX, &n) == 0 && n) {
			s->log_limit = (uint32_t)n;
			s->log_limit_per = (unsigned)per;
			return 0;
		}
	}
	(void)zt_complain(l, 1222, v, "\"%s\" is not a rate", zt_shown(v)); /* the result follows */
	zt_diag_hint(l->d, "1 to 1000000 /second, /minute, /hour or /day: for example 10/second");
	return -EINVAL;
}

/* The lower bits must have room for a number as well: a packet on lo carries two where an ended connection has its ports. */
static int read_mark_bits(struct zt_load *l, const struct zt_node *v, struct zt_settings *s)
{
	unsigned first, last;
	int used = 0;

	if (v->n <= 5 && sscanf(v->text, "%2u-%2u%n", &first, &last, &used) == 2 && !v->text[used] && last <= 31 &&
	    last >= first + 3 && last - first <= first) {
		s->mark_mask = (uint32_t)((UINT64_C(2) << last) - (UINT64_C(1) << first));
		s->mark_mask = s->mark_mask == 0xffff0000u ? 0 : s->mark_mask;
		return 0;
	}
	(void)zt_complain(l, 1243, v, "\"%s\" are not bits of a mark", zt_shown(v)); /* the result follows */
	zt_diag_hint(l->d,
		     "FIRST-LAST of 0 to 31, at least 4 bits and no more than FIRST + 1: for example 16-31 or 8-15");
	return -EINVAL;
}

int zt_settings_read(struct zt_load *l, const struct zt_node *node)
{
	struct zt_settings *s = &l->p->settings;
	const struct zt_node *v;
	struct zt_fields f;
	int r = zt_fields_read(l->doc, ZT_MAP_SETTINGS, node, false, &f, l->d);

	if ((v = zt_field(&f, SETTINGS, DEFAULT_POLICY)))
		r = zt_also(r, read_defaults(l, v, s));
	s->mode = (enum zt_mode)word(zt_field(&f, SETTINGS, MODE), "enforce|observe", ZT_MODE_ENFORCE);
	s->block = (enum zt_block)word(zt_field(&f, SETTINGS, BLOCK), "reject|drop", ZT_BLOCK_REJECT);
	s->loopback = (enum zt_loopback)word(zt_field(&f, SETTINGS, LOOPBACK), "enforce|observe|allow",
					     ZT_LOOPBACK_ENFORCE);
	s->unix_sockets = (enum zt_unix)word(zt_field(&f, SETTINGS, UNIX), "enforce|where-possible", ZT_UNIX_ENFORCE);
	s->socket_passing = word(zt_field(&f, SETTINGS, SOCKET_PASSING), "deny|allow", 0);
	set_bool(zt_field(&f, SETTINGS, LOG_BLOCKED), &s->log_blocked);
	set_bool(zt_field(&f, SETTINGS, PRESERVE_SSH), &s->preserve_ssh);
	set_bool(zt_field(&f, SETTINGS, PRESERVE_ESTABLISHED), &s->preserve_established);
	if ((v = zt_field(&f, SETTINGS, LOG_PREFIX)))
		r = zt_also(r, read_prefix(l, v, s));
	if ((v = zt_field(&f, SETTINGS, LOG_LIMIT)))
		r = zt_also(r, read_limit(l, v, s));
	if ((v = zt_field(&f, SETTINGS, MARK_BITS)))
		r = zt_also(r, read_mark_bits(l, v, s));
	return r;
}
