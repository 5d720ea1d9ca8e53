/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Open TCP connections of a restore: loaded, made in repair mode, let go. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/files/kinds.h"
#include "engine/sockets/inet-priv.h"
#include "engine/sockets/net-lock.h"
#include "engine/sockets/socket-ns.h"
#include "engine/sockets/tcp-repair.h"
#include "engine/tracee/guardian.h"
#include "proto/files.pb-c.h"

enum { NO_QUEUE = 0, RECV_QUEUE = 1, SEND_QUEUE = 2 };
enum { OPT_TIMESTAMPS = 1, OPT_SACK = 2, OPT_WSCALE = 4 };
enum { WSCALE_MAX = 14 };

/* ---- loading ---- */

static int check_stream(const InetSkEntry *s, const TcpStreamEntry *e, struct err *err)
{
	if (!e->has_unsq_len || e->unsq_len > e->outq_len)
		return err_image(err, "%u bytes to send, of which %u were not sent", e->outq_len,
				 e->unsq_len);
	if (e->opt_mask & OPT_WSCALE &&
	    (!e->has_rcv_wscale || e->snd_wscale > WSCALE_MAX || e->rcv_wscale > WSCALE_MAX))
		return err_image(err, "window scales %u and %u", e->snd_wscale, e->rcv_wscale);
	if (e->opt_mask & OPT_TIMESTAMPS && !e->has_timestamp)
		return err_image(err, "timestamps, but no time");
	if (!e->mss_clamp || e->mss_clamp > UINT16_MAX)
		return err_image(err, "mss_clamp %u", e->mss_clamp);
	if (!s->src_port || !s->dst_port)
		return err_image(err, "a connection without a port");
	return 0;
}

int tcp_load(struct restore *r, const InetSkEntry *e, struct tcp_stream *ret, struct err *err)
{
	cleanup_reader struct image_reader *reader = NULL;
	const void *in = NULL, *out = NULL;
	TcpStreamEntry *t = NULL;
	int n = image_open(r->images_fd, IMG_TCP_STREAM, &reader, err, "tcp-stream-%x.img", e->ino);

	if (n == IMAGE_ABSENT && e->state == TCP_STATE_CLOSE)
		return 0;
	if (n == IMAGE_ABSENT)
		return err_image(err, "image 'tcp-stream-%x.img' is missing", e->ino);
	if (n == 0)
		n = image_one(reader, &tcp_stream_entry__descriptor, &t, err);
	if (n == 0)
		n = restore_keep(r, t) < 0 ? err_nomem(err) : check_stream(e, t, err);
	if (n == 0)
		n = image_next_raw(reader, t->inq_len, &in, err);
	if (n == 0)
		n = image_next_raw(reader, t->outq_len, &out, err);
	if (n < 0)
		return err_wrap(err, n, "image 'tcp-stream-%x.img'", e->ino);
	*ret = (struct tcp_stream){ t, arena_dup(&r->arena, in, t->inq_len),
				    arena_dup(&r->arena, out, t->outq_len) };
	return (t->inq_len && !ret->in) || (t->outq_len && !ret->out) ? err_nomem(err) : 0;
}

/* ---- making ---- */

static int set_seq(int sk, int queue, uint32_t seq, struct err *err)
{
	int r = tcp_choose_queue(sk, queue, err);

	if (r == 0 && setsockopt(sk, IPPROTO_TCP, TCP_QUEUE_SEQ, &seq, sizeof(seq)) < 0)
		return err_sys(err, -errno, "setting a sequence number");
	return r;
}

/*
 * The kernel counts on as bytes are put into the queues, so numbers begin before those; and a FIN
 * that is put in later takes a number as well.
 */
static int set_seqs(int sk, uint32_t state, const TcpStreamEntry *e, struct err *err)
{
	uint32_t in = e->inq_seq - e->inq_len, out = e->outq_seq - e->outq_len;
	int r;

	in -= TCP_IN(state, TCP_FIN_RECEIVED);
	out -= TCP_IN(state, TCP_FIN_SENT) || state == TCP_STATE_SYN_SENT;
	r = set_seq(sk, RECV_QUEUE, in, err);
	if (r == 0)
		r = set_seq(sk, SEND_QUEUE, out, err);
	return r;
}

static int connect_it(struct isk *s, struct err *err)
{
	bool asks = s->e->state == TCP_STATE_SYN_SENT;
	char text[SOCKET_TEXT_SIZE];
	int r, flags = fcntl(s->fd, F_GETFL);

	/* the first packet is made again; the network is cut off, or it is sent twice as it may be
	 */
	if (asks &&
	    (fcntl(s->fd, F_SETFL, flags | O_NONBLOCK) < 0 || tcp_repair(s->fd, false, err) < 0))
		return err->code ? err->code : err_sys(err, -errno, "setting O_NONBLOCK");
	r = inet_connect(s);
	if (r < 0 && !(asks && r == -EINPROGRESS)) {
		err_sys(err, r, "connecting to %s",
			socket_text((int)s->e->family, s->e->dst_addr, s->e->dst_port, text));
		if (r == -ENETUNREACH || r == -EHOSTUNREACH)
			err_hint(err, "a route to the peer is needed");
		return r;
	}
	return asks ? tcp_repair(s->fd, true, err) : 0;
}

static int set_stream_options(int sk, uint32_t state, const TcpStreamEntry *e, struct err *err)
{
	struct tcp_repair_opt o[4];
	socklen_t n = 0;

	if (state == TCP_STATE_SYN_SENT)
		return 0;
	o[n++] = (struct tcp_repair_opt){ TCPOPT_MAXSEG, e->mss_clamp };
	if (e->opt_mask & OPT_SACK)
		o[n++] = (struct tcp_repair_opt){ TCPOPT_SACK_PERMITTED, 0 };
	if (e->opt_mask & OPT_WSCALE)
		o[n++] = (struct tcp_repair_opt){ TCPOPT_WINDOW,
						  e->snd_wscale | e->rcv_wscale << 16 };
	if (e->opt_mask & OPT_TIMESTAMPS)
		o[n++] = (struct tcp_repair_opt){ TCPOPT_TIMESTAMP, 0 };
	if (setsockopt(sk, IPPROTO_TCP, TCP_REPAIR_OPTIONS, o, n * (socklen_t)sizeof(o[0])) < 0)
		return err_sys(err, -errno, "setting the options of the connection");
	if (e->opt_mask & OPT_TIMESTAMPS &&
	    setsockopt(sk, IPPROTO_TCP, TCP_TIMESTAMP, &e->timestamp, sizeof(e->timestamp)) < 0)
		return err_sys(err, -errno, "setting the timestamp of the connection");
	return 0;
}

/* Beyond the limit of the system, unless we are in a user namespace, which may not do that. */
static int set_room(int sk, int force, int limited)
{
	int most = INT_MAX / 2;

	if (setsockopt(sk, SOL_SOCKET, force, &most, sizeof(most)) == 0)
		return 0;
	if (errno != EPERM || setsockopt(sk, SOL_SOCKET, limited, &most, sizeof(most)) < 0)
		return -errno;
	return 0;
}

/* Room for any queue; the sizes of the image are set later. The kernel doubles the number. */
static int make_room(int sk, struct err *err)
{
	int r = set_room(sk, SO_SNDBUFFORCE, SO_SNDBUF);

	if (r == 0)
		r = set_room(sk, SO_RCVBUFFORCE, SO_RCVBUF);
	return r < 0 ? err_sys(err, r, "making room for the queues") : 0;
}

/* Of one call the kernel makes one piece of memory, which it may not have: then smaller ones. */
static int put_bytes(int sk, const uint8_t *data, size_t len, struct err *err)
{
	size_t chunk = len;

	while (len) {
		ssize_t n;

		chunk = chunk < len ? chunk : len;
		n = send(sk, data, chunk, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n <= 0 && chunk > 1024) {
			chunk /= 2;
			continue;
		}
		if (n <= 0)
			return err_sys(err, n < 0 ? -errno : -EIO,
				       "filling a queue, %zu bytes are left", len);
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

/* What was sent already waits for its acknowledgement; what was not is sent by the kernel itself.
 */
static int fill_queues(const struct isk *s, struct err *err)
{
	const TcpStreamEntry *e = s->stream.e;
	size_t sent = e->outq_len - e->unsq_len;
	int r = 0;

	if (e->inq_len) {
		r = tcp_choose_queue(s->fd, RECV_QUEUE, err);
		if (r == 0)
			r = put_bytes(s->fd, s->stream.in, e->inq_len, err);
	}
	if (r == 0 && sent) {
		r = tcp_choose_queue(s->fd, SEND_QUEUE, err);
		if (r == 0)
			r = put_bytes(s->fd, s->stream.out, sent, err);
	}
	if (r == 0)
		r = tcp_choose_queue(s->fd, NO_QUEUE, err);
	if (r == 0 && e->unsq_len) {
		r = tcp_repair(s->fd, false, err);
		if (r == 0)
			r = put_bytes(s->fd, s->stream.out + sent, e->unsq_len, err);
		if (r == 0)
			r = tcp_repair(s->fd, true, err);
	}
	return r;
}

static int set_windows(int sk, uint32_t state, const TcpStreamEntry *e, struct err *err)
{
	struct tcp_repair_window w = { e->snd_wl1, e->snd_wnd, e->max_window, e->rcv_wnd,
				       e->rcv_wup };

	if (!e->has_snd_wnd || state == TCP_STATE_SYN_SENT)
		return 0;
	if (TCP_IN(state, TCP_FIN_RECEIVED)) {
		w.rcv_wup--;
		w.rcv_wnd++;
	}
	if (setsockopt(sk, IPPROTO_TCP, TCP_REPAIR_WINDOW, &w, sizeof(w)) < 0)
		return err_sys(err, -errno, "setting the windows of the connection");
	return 0;
}

/*
 * While a queue is chosen, the kernel takes the FIN as sent already. Else it sends it; if the
 * packet filter does not let it out, it counts as not sent, and no acknowledgement would be
 * believed.
 */
static int put_fin(int sk, bool sent, struct err *err)
{
	int r = sent ? tcp_choose_queue(sk, SEND_QUEUE, err) : 0;

	if (r == 0 && shutdown(sk, SHUT_WR) < 0)
		r = err_sys(err, -errno, "ending the sending side");
	return r == 0 && sent ? tcp_choose_queue(sk, NO_QUEUE, err) : r;
}

/* Ends in the order in which they came; those of the peer come as packets. */
static int put_fins(const struct isk *s, struct err *err)
{
	const InetSkEntry *k = s->e;
	const TcpStreamEntry *e = s->stream.e;
	struct net_flow flow =
		net_flow_of((int)k->family, k->src_addr, k->src_port, k->dst_addr, k->dst_port);
	bool acked = TCP_IN(k->state, TCP_FIN_ACKED);
	uint32_t in = e->inq_seq - TCP_IN(k->state, TCP_FIN_RECEIVED);
	uint32_t una = e->outq_seq - TCP_IN(k->state, TCP_FIN_SENT) - e->outq_len;
	uint16_t window = (uint16_t)(e->rcv_wnd < UINT16_MAX ? e->rcv_wnd : UINT16_MAX);
	int r = 0;

	if (TCP_IN(k->state, TCP_FIN_SENT_FIRST))
		r = put_fin(s->fd, acked, err);
	if (r == 0 && TCP_IN(k->state, TCP_FIN_RECEIVED))
		r = tcp_fake_packet(&flow, in, una, window, true, err);
	if (r == 0 && TCP_IN(k->state, TCP_FIN_SENT_SECOND))
		r = put_fin(s->fd, acked, err);
	if (r == 0 && acked)
		/* behind the peer's end, or it would be one that the kernel has seen already */
		r = tcp_fake_packet(&flow, e->inq_seq, una + 1, window, false, err);
	return r;
}

int tcp_make(struct isk *s, struct err *err)
{
	const TcpStreamEntry *e = s->stream.e;
	uint32_t state = s->e->state;
	int r = make_room(s->fd, err);

	if (r == 0)
		r = tcp_repair(s->fd, true, err);
	if (r == 0) {
		r = inet_bind(s);
		if (r < 0)
			err_sys(err, r, "binding a connection to its address");
	}
	if (r == 0)
		r = set_seqs(s->fd, state, e, err);
	if (r == 0)
		r = connect_it(s, err);
	if (r == 0)
		r = set_stream_options(s->fd, state, e, err);
	if (r == 0)
		r = fill_queues(s, err);
	if (r == 0)
		r = set_windows(s->fd, state, e, err);
	return r == 0 ? put_fins(s, err) : r;
}

/* ---- letting go ---- */

static bool is_connection(const struct isk *s)
{
	return s->stream.e && s->obj->needed && !s->obj->inherited;
}

/* The root task has all of them above fd_base; below it, its owner has it alone. */
static int take_from(const struct restore *r, const struct file_obj *obj)
{
	bool own = obj->place < r->fd_base && obj->owner;
	pid_t pid = own ? obj->owner->pid : r->tasks.v[0]->pid;
	cleanup_fd int holder = (int)syscall(SYS_pidfd_open, pid, 0);

	return holder < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, holder, obj->place, 0);
}

int tcp_adopt(struct restore *r, struct err *err)
{
	struct restore_inet *all = files_restore_state(r, &kind_inet, sizeof(*all));
	struct isk *s;

	for (s = all ? all->first : NULL; s; s = s->next) {
		if (!is_connection(s))
			continue;
		s->fd = take_from(r, s->obj);
		if (s->fd < 0)
			return err_sys(err, -errno, "taking hold of TCP connection %u", s->e->ino);
	}
	return 0;
}

struct restore_tcp {
	struct net_flows flows;
	enum net_lock_method method;
	char id[NET_LOCK_ID_SIZE];
	int ns_fd;
	struct guardian *guardian;
};

static int list_flows(struct restore *r, struct restore_tcp *t, struct err *err)
{
	struct restore_inet *all = files_restore_state(r, &kind_inet, sizeof(*all));
	struct isk *s;

	for (s = all ? all->first : NULL; s; s = s->next) {
		struct net_flow *slot = is_connection(s) ? vec_add(&t->flows.list) : NULL;

		if (slot)
			*slot = net_flow_of((int)s->e->family, s->e->src_addr, s->e->src_port,
					    s->e->dst_addr, s->e->dst_port);
		else if (is_connection(s))
			return err_nomem(err);
	}
	return 0;
}

static void unlock_own(struct restore_tcp *t, const struct log *log)
{
	struct err err = ERR_INIT;

	if (net_unlock(t->ns_fd, t->method, t->id, &t->flows, &err) < 0 && log)
		log_err(log, &err);
}

/* In a guardian, which does not know which method was taken in the end. */
static void unlock_for_engine(void *arg)
{
	struct restore_tcp *t = arg;

	t->method = NET_LOCK_NFTABLES;
	unlock_own(t, NULL);
	t->method = NET_LOCK_IPTABLES;
	unlock_own(t, NULL);
}

static int cut_off(struct restore *r, struct restore_tcp *t, struct err *err)
{
	char path[32];
	int n = net_lock_make_id(t->id, err);

	snprintf(path, sizeof(path), "/proc/%d/ns/net", r->tasks.v[0]->pid);
	t->ns_fd = n < 0 ? -1 : open(path, O_RDONLY | O_CLOEXEC);
	if (n == 0 && t->ns_fd < 0)
		return err_sys(err, -errno, "opening the network namespace of the root task");
	if (n == 0)
		n = guardian_fork(&t->guardian, unlock_for_engine, t, err);
	return n == 0 ? net_lock(t->ns_fd, r->opts->network_lock, t->id, &t->flows, &t->method, err)
		      : n;
}

int tcp_cut_off(struct restore *r, struct err *err)
{
	struct restore_tcp *t = arena_alloc(&r->arena, sizeof(*t));
	int n;

	if (!t)
		return err_nomem(err);
	*t = (struct restore_tcp){ .method = NET_LOCK_SKIP, .ns_fd = -1 };
	n = list_flows(r, t, err);
	r->tcp = t;
	/* who did not want the dump to do it did not want it now either */
	if (n < 0 || !t->flows.list.n ||
	    (r->net_lock_method == NET_LOCK_SKIP && r->opts->network_lock == CKPT_LOCK_DEFAULT))
		return n;
	return cut_off(r, t, err);
}

void tcp_abandon(struct restore *r)
{
	struct restore_tcp *t = r->tcp;

	if (!t)
		return;
	unlock_own(t, r->log);
	guardian_stop(t->guardian);
	if (t->ns_fd >= 0)
		close(t->ns_fd);
	vec_free(&t->flows.list);
	r->tcp = NULL;
}

/* What the dump has left; in a new namespace that is nothing. */
static int unlock_old(struct restore *r, struct err *err)
{
	struct restore_tcp *t = r->tcp;

	if (!t || !t->flows.list.n || r->new_ns & CLONE_NEWNET)
		return 0;
	return net_unlock(t->ns_fd, (enum net_lock_method)r->net_lock_method, r->net_lock_id,
			  &t->flows, err);
}

int tcp_resume(struct restore *r, struct err *err)
{
	struct restore_inet *all = files_restore_state(r, &kind_inet, sizeof(*all));
	struct isk *s;
	int n = unlock_old(r, err);

	tcp_abandon(r);
	for (s = all ? all->first : NULL; s && n == 0; s = s->next) {
		if (!is_connection(s))
			continue;
		n = tcp_end_repair(s->fd, s->e->opts->reuseaddr, err);
		close(take_fd(&s->fd));
	}
	return n;
}
