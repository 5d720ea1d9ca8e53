/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Open TCP connections of a dump: cut off, stopped, read. */
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/files/files.h"
#include "engine/files/kind.h"
#include "engine/sockets/net-lock.h"
#include "engine/sockets/tcp-repair.h"
#include "engine/sockets/tcp.h"
#include "engine/tracee/guardian.h"
#include "proto/files.pb-c.h"

/* How the kernel names a queue to repair; and bits of TCP_INFO's options. */
enum { NO_QUEUE = 0, RECV_QUEUE = 1, SEND_QUEUE = 2 };
enum { OPT_TIMESTAMPS = 1, OPT_WSCALE = 4 };

struct tcp_conn {
	struct tcp_conn *next;
	const struct dump_task *task;
	const char *what;
	int fd;	      /* our duplicate, which stays open longer than this is needed */
	FileEntry fe; /* its state is set when it is stopped */
	bool stopped;
};

struct dump_tcp {
	struct tcp_conn *first;
	struct net_flows flows;
	enum net_lock_method method;
	char id[NET_LOCK_ID_SIZE];
	int ns_fd; /* of the tree, when it is not ours; else -1 */
	bool locked;
	struct guardian *guardian;
};

bool tcp_is_open(uint32_t state)
{
	/* ESTABLISHED, SYN_SENT, FIN_WAIT1 and 2, CLOSE_WAIT, LAST_ACK, CLOSING */
	return state < 32 && state != TCP_STATE_CLOSE &&
	       TCP_IN(state, 1u << 1 | 1u << 2 | TCP_FIN_SENT | TCP_FIN_RECEIVED);
}

int tcp_note(struct dump *d, const struct file_ref *ref, const FileEntry *fe, struct err *err)
{
	struct tcp_conn *c = arena_alloc(&d->arena, sizeof(*c));

	if (!d->tcp) {
		d->tcp = arena_alloc(&d->arena, sizeof(*d->tcp));
		if (!d->tcp)
			return err_nomem(err);
		*d->tcp = (struct dump_tcp){ .method = NET_LOCK_SKIP, .ns_fd = -1 };
	}
	if (!c)
		return err_nomem(err);
	*c = (struct tcp_conn){ d->tcp->first, ref->task, ref->what, ref->lfd, *fe, false };
	d->tcp->first = c;
	return 0;
}

/* ---- the image ---- */

static int read_option(int sk, int name, uint32_t *ret, const char *what, struct err *err)
{
	socklen_t len = sizeof(*ret);

	return getsockopt(sk, IPPROTO_TCP, name, ret, &len) < 0
		       ? err_sys(err, -errno, "reading %s", what)
		       : 0;
}

static int read_lengths(int sk, uint32_t state, TcpStreamEntry *e, struct err *err)
{
	int in = 0, out = 0, unsent = 0;

	if (ioctl(sk, SIOCINQ, &in) < 0 || ioctl(sk, SIOCOUTQ, &out) < 0 ||
	    ioctl(sk, SIOCOUTQNSD, &unsent) < 0)
		return err_sys(err, -errno, "reading the lengths of its queues");
	/* what nobody will acknowledge any more; a FIN is counted as a byte, but is none */
	if (state == TCP_STATE_CLOSE) {
		out = unsent = 0;
	} else if (TCP_IN(state, TCP_FIN_SENT)) {
		out -= out > 0;
		unsent -= unsent > 0;
	}
	e->inq_len = (uint32_t)in;
	e->outq_len = (uint32_t)out;
	e->has_unsq_len = true;
	e->unsq_len = (uint32_t)unsent;
	return 0;
}

static int read_options(int sk, const struct tcp_info *info, TcpStreamEntry *e, struct err *err)
{
	struct tcp_repair_window w = { 0 };
	socklen_t len = sizeof(w);
	int r = read_option(sk, TCP_MAXSEG, &e->mss_clamp, "TCP_MAXSEG", err);

	e->opt_mask = info->tcpi_options;
	if (e->opt_mask & OPT_WSCALE) {
		e->snd_wscale = info->tcpi_snd_wscale;
		e->has_rcv_wscale = true;
		e->rcv_wscale = info->tcpi_rcv_wscale;
	}
	if (r == 0 && e->opt_mask & OPT_TIMESTAMPS) {
		e->has_timestamp = true;
		r = read_option(sk, TCP_TIMESTAMP, &e->timestamp, "TCP_TIMESTAMP", err);
	}
	if (r < 0)
		return r;
	if (getsockopt(sk, IPPROTO_TCP, TCP_REPAIR_WINDOW, &w, &len) < 0)
		return err_sys(err, -errno, "reading its windows");
	e->has_snd_wl1 = e->has_snd_wnd = e->has_max_window = e->has_rcv_wnd = e->has_rcv_wup =
		true;
	e->snd_wl1 = w.snd_wl1;
	e->snd_wnd = w.snd_wnd;
	e->max_window = w.max_window;
	e->rcv_wnd = w.rcv_wnd;
	e->rcv_wup = w.rcv_wup;
	return 0;
}

/* Reads without taking; a byte more than there should be shows whether that is all. */
static int read_queue(struct dump *d, int sk, int queue, uint32_t len, uint32_t *ret_seq,
		      uint8_t **ret, struct err *err)
{
	ssize_t n = 0;
	int r = tcp_choose_queue(sk, queue, err);

	if (r == 0)
		r = read_option(sk, TCP_QUEUE_SEQ, ret_seq, "a sequence number", err);
	if (r < 0)
		return r;
	*ret = arena_alloc(&d->arena, (size_t)len + 1);
	if (!*ret)
		return err_nomem(err);
	if (len)
		n = recv(sk, *ret, (size_t)len + 1, MSG_PEEK | MSG_DONTWAIT);
	if (n < 0)
		return err_sys(err, -errno, "reading a queue");
	if ((size_t)n != len)
		return err_new(err, ERR_BUSY, -EAGAIN, "a queue of %u bytes has %zd", len, n);
	return tcp_choose_queue(sk, NO_QUEUE, err);
}

static int capture(struct dump *d, struct tcp_conn *c, struct err *err)
{
	TcpStreamEntry e = TCP_STREAM_ENTRY__INIT;
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);
	uint8_t *in = NULL, *out = NULL;
	struct image *img;
	int r;

	if (getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
		return err_sys(err, -errno, "reading TCP_INFO");
	c->fe.isk->state = info.tcpi_state;
	r = read_lengths(c->fd, info.tcpi_state, &e, err);
	if (r == 0)
		r = read_options(c->fd, &info, &e, err);
	if (r == 0)
		r = read_queue(d, c->fd, RECV_QUEUE, e.inq_len, &e.inq_seq, &in, err);
	if (r == 0)
		r = read_queue(d, c->fd, SEND_QUEUE, e.outq_len, &e.outq_seq, &out, err);
	if (r < 0)
		return r;
	img = image_get(d->images, IMG_TCP_STREAM, "tcp-stream-%x.img", c->fe.isk->ino);
	if (image_add(img, &e.base) < 0 || image_add_raw(img, in, e.inq_len) < 0 ||
	    image_add_raw(img, out, e.outq_len) < 0)
		return err_nomem(err);
	return files_write_entry(d, &c->fe, err);
}

/* ---- stopping and letting go ---- */

static void end_repair(struct dump_tcp *all, const struct log *log)
{
	struct tcp_conn *c;

	for (c = all->first; c; c = c->next) {
		struct err err = ERR_INIT;

		if (c->stopped && tcp_end_repair(c->fd, c->fe.isk->opts->reuseaddr, &err) < 0 &&
		    log)
			log_err(log, &err);
		c->stopped = false;
	}
}

static void unlock(struct dump_tcp *all, const struct log *log)
{
	struct err err = ERR_INIT;

	if (all->locked && net_unlock(all->ns_fd, all->method, all->id, &all->flows, &err) < 0 &&
	    log)
		log_err(log, &err);
	all->locked = false;
}

/* In a guardian, after the engine's death, with a copy of what the engine knew before it began. */
static void undo_for_engine(void *arg)
{
	struct dump_tcp *all = arg;
	struct tcp_conn *c;

	for (c = all->first; c; c = c->next)
		c->stopped = true;
	end_repair(all, NULL);
	/* a tool that the engine had started may be at its last step */
	poll(NULL, 0, 50);
	all->locked = true;
	all->method = NET_LOCK_NFTABLES;
	unlock(all, NULL);
	all->locked = true;
	all->method = NET_LOCK_IPTABLES;
	unlock(all, NULL);
}

static int prepare(struct dump *d, struct dump_tcp *all, struct err *err)
{
	struct tcp_conn *c;

	for (c = all->first; c; c = c->next) {
		const InetSkEntry *e = c->fe.isk;
		struct net_flow *slot = vec_add(&all->flows.list);

		if (!slot)
			return err_nomem(err);
		*slot = net_flow_of((int)e->family, e->src_addr, e->src_port, e->dst_addr,
				    e->dst_port);
	}
	if (d->root_ns.id[NS_NET] != d->host_ns.id[NS_NET]) {
		all->ns_fd = openat(d->tasks.v[0]->proc_fd, "ns/net", O_RDONLY | O_CLOEXEC);
		if (all->ns_fd < 0)
			return err_sys(err, -errno, "opening the network namespace of the tree");
	}
	return net_lock_make_id(all->id, err);
}

int tcp_dump(struct dump *d, struct err *err)
{
	struct dump_tcp *all = d->tcp;
	struct tcp_conn *c;
	int r;

	if (!all)
		return 0;
	r = prepare(d, all, err);
	if (r == 0)
		r = guardian_fork(&all->guardian, undo_for_engine, all, err);
	if (r == 0) {
		r = net_lock(all->ns_fd, d->opts->network_lock, all->id, &all->flows, &all->method,
			     err);
		all->locked = r == 0;
	}
	for (c = all->first; c && r == 0; c = c->next) {
		r = tcp_repair(c->fd, true, err);
		c->stopped = r == 0;
		if (r == 0)
			r = capture(d, c, err);
		if (r < 0)
			err_wrap(err, r, "%s: %s: TCP connection %u", dump_task_name(d, c->task),
				 c->what, c->fe.isk->ino);
	}
	return r;
}

void tcp_release(struct dump *d, bool goes_on)
{
	struct dump_tcp *all = d->tcp;

	if (!all)
		return;
	if (goes_on) {
		unlock(all, d->log);
		end_repair(all, d->log);
	}
	guardian_stop(all->guardian);
	if (all->ns_fd >= 0)
		close(all->ns_fd);
	vec_free(&all->flows.list);
	d->tcp = NULL;
}

int tcp_lock_method(const struct dump *d)
{
	return d->tcp ? (int)d->tcp->method : NET_LOCK_SKIP;
}

const char *tcp_lock_id(const struct dump *d)
{
	return d->tcp && d->tcp->method == NET_LOCK_NFTABLES ? d->tcp->id : NULL;
}
