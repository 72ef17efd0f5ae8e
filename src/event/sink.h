/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Activities as others read them, and sent to where others read. Everything comes from the tables schema.def and activity.def; what the texts of
 * an activity hold is printable and in one line (activity.h), here they only get the quotes of the format.
 *
 *   json      one line, members named as in schema.def                    zt_activity_json(), RFC 8259
 *   journald  fields ZT_NAME=value, MESSAGE, PRIORITY, SYSLOG_IDENTIFIER  systemd.journal-fields(7), systemd's native protocol
 *   syslog    one element [zt@32473 name="value" …]                       RFC 5424; TCP: octet counting, RFC 6587
 *   ecs       Elastic Common Schema 8.11.0; what it has no field for under "zt"
 *   ocsf      Open Cybersecurity Schema Framework 1.5.0; the rest under "unmapped"
 */
#include "base/diag.h"
#include "event/activity.h"

enum zt_sink_format { ZT_FORMAT_JSON, ZT_FORMAT_ECS, ZT_FORMAT_OCSF, ZT_FORMAT_SYSLOG, ZT_FORMAT_JOURNALD, ZT_FORMATS };
const char *zt_sink_format_name(enum zt_sink_format f);
int zt_sink_format_find(const char *name); /* or -ENOENT */

/* One record, without what separates it from the next. host: this machine's name ("" unknown); id: of the journal, 0 none. -ENOMEM. */
int zt_sink_text(enum zt_sink_format f, const struct zt_activity *a, const char *host, uint64_t id,
		 struct zt_strbuf *out);

/* For people: "deny: /usr/bin/curl[811] of web-user to 10.0.0.1:443/tcp, rule no-egress". */
void zt_activity_message(const struct zt_activity *a, struct zt_strbuf *out);
unsigned zt_activity_priority(const struct zt_activity *a); /* syslog severity: 4 warning, 5 notice, 6 informational */

/* The parts of zt_sink_text(). */
void zt_activity_syslog(const struct zt_activity *a, const char *host, struct zt_strbuf *out);
void zt_activity_journald(const struct zt_activity *a, struct zt_strbuf *out);
int zt_activity_ecs(const struct zt_activity *a, const char *host, uint64_t id, struct zt_strbuf *out);
int zt_activity_ocsf(const struct zt_activity *a, const char *host, uint64_t id, struct zt_strbuf *out);

/* ---- sending ----
 * Never blocks: what the receiver does not take now is kept up to ZT_SINK_BUFFER bytes (TCP) or counted as lost (datagrams, at once). A TCP
 * connection that broke is made again, at most once a second.
 *
 *   journald[:PATH]         native protocol; /run/systemd/journal/socket. Too large for a datagram: in a sealed memfd
 *   syslog:unix:PATH        datagram socket, /dev/log
 *   syslog:udp:ADDR:PORT    [v6]:port; addresses only, names are not looked up
 *   syslog:tcp:ADDR:PORT */
enum { ZT_SINK_BUFFER = 1 << 20 };
struct zt_sink;
int zt_sink_open(const char *to, const char *host, struct zt_sink **ret, struct zt_diags *d); /* reports */
int zt_sink_send(struct zt_sink *s, const struct zt_activity *a); /* 0; -ENOBUFS: lost and counted */
/* Waits until all is sent: 0, -ETIMEDOUT, -errno. */
int zt_sink_flush(struct zt_sink *s, unsigned timeout_msec);
uint64_t zt_sink_lost(const struct zt_sink *s);
int zt_sink_error(const struct zt_sink *s); /* why the last one was lost or the connection broke: -errno; 0: neither */
uint64_t zt_sink_pending(const struct zt_sink *s); /* bytes */
void zt_sink_close(struct zt_sink *s);		   /* what is pending is lost */
void zt_sink_closep(struct zt_sink **s);
