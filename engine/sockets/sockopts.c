/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/sockets/sockopts.h"

#include <errno.h>
#include <limits.h>
#include <linux/filter.h>
#include <net/if.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "engine/base/cleanup.h"
#include "engine/files/kind.h"
#include "engine/sockets/more-opts.h"
#include "proto/sockets.pb-c.h"

#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72
#endif

/* An option that is one number; has and val are offsets in the message. */
struct opt {
	int name;
	const char *text;
	enum { OPT_U32, OPT_BOOL } type;
	size_t has, val;
	bool only_local; /* only AF_UNIX and AF_NETLINK have it */
	bool only_set;	 /* written only if it is not zero: setting it takes a privilege */
	bool by_family;	 /* the family's restore sets it */
};

#define OPT(name, type, field, ...)                                    \
	{                                                              \
		name, #name, type, offsetof(SkOptsEntry, has_##field), \
			offsetof(SkOptsEntry, field), __VA_ARGS__      \
	}

static const struct opt opts[] = {
	OPT(SO_PRIORITY, OPT_U32, so_priority),
	OPT(SO_RCVLOWAT, OPT_U32, so_rcvlowat),
	OPT(SO_MARK, OPT_U32, so_mark, .only_set = true),
	OPT(SO_PASSCRED, OPT_BOOL, so_passcred, .only_local = true),
	OPT(SO_PASSSEC, OPT_BOOL, so_passsec, .only_local = true),
	OPT(SO_DONTROUTE, OPT_BOOL, so_dontroute),
	OPT(SO_NO_CHECK, OPT_BOOL, so_no_check),
	OPT(SO_BROADCAST, OPT_BOOL, so_broadcast),
	OPT(SO_KEEPALIVE, OPT_BOOL, so_keepalive),
	OPT(SO_OOBINLINE, OPT_U32, so_oobinline),
	OPT(SO_REUSEADDR, OPT_BOOL, reuseaddr, .by_family = true),
	OPT(SO_REUSEPORT, OPT_BOOL, so_reuseport, .by_family = true),
};

#define N_OPTS (sizeof(opts) / sizeof(opts[0]))

static int get(int sk, int name, const char *text, void *val, socklen_t len, struct err *err)
{
	socklen_t n = len;

	if (getsockopt(sk, SOL_SOCKET, name, val, &n) < 0)
		return err_sys(err, -errno, "reading %s", text);
	return 0;
}

static int set(int sk, int name, const char *text, const void *val, socklen_t len, struct err *err)
{
	if (setsockopt(sk, SOL_SOCKET, name, val, len) < 0)
		return sockopts_failed(err, -errno, text);
	return 0;
}

int sockopts_failed(struct err *err, int r, const char *option)
{
	err_sys(err, r, "setting %s", option);
	if (r == -EPERM)
		err_hint(err, "this needs CAP_NET_ADMIN over the network namespace");
	return r;
}

/* ---- dump ---- */

static int capture_numbers(int sk, int family, SkOptsEntry *e, struct err *err)
{
	size_t i;

	for (i = 0; i < N_OPTS; i++) {
		const struct opt *o = &opts[i];
		int val = 0;

		if (o->only_local && family != AF_UNIX && family != AF_NETLINK)
			continue;
		if (get(sk, o->name, o->text, &val, sizeof(val), err) < 0)
			return err->code;
		if (o->only_set && !val)
			continue;
		*(protobuf_c_boolean *)((char *)e + o->has) = true;
		if (o->type == OPT_BOOL)
			*(protobuf_c_boolean *)((char *)e + o->val) = val != 0;
		else
			*(uint32_t *)((char *)e + o->val) = (uint32_t)val;
	}
	return 0;
}

static int capture_sizes(int sk, SkOptsEntry *e, struct err *err)
{
	struct timeval tv;
	uint32_t lock;
	int r = get(sk, SO_SNDBUF, "SO_SNDBUF", &e->so_sndbuf, sizeof(e->so_sndbuf), err);

	if (r == 0)
		r = get(sk, SO_RCVBUF, "SO_RCVBUF", &e->so_rcvbuf, sizeof(e->so_rcvbuf), err);
	/* since 5.14: which of the two sizes the program has chosen itself */
	if (r == 0 &&
	    getsockopt(sk, SOL_SOCKET, SO_BUF_LOCK, &lock, &(socklen_t){ sizeof(lock) }) == 0) {
		e->has_so_buf_lock = true;
		e->so_buf_lock = lock;
	}
	if (r == 0)
		r = get(sk, SO_SNDTIMEO, "SO_SNDTIMEO", &tv, sizeof(tv), err);
	if (r < 0)
		return r;
	e->so_snd_tmo_sec = (uint64_t)tv.tv_sec;
	e->so_snd_tmo_usec = (uint64_t)tv.tv_usec;
	r = get(sk, SO_RCVTIMEO, "SO_RCVTIMEO", &tv, sizeof(tv), err);
	if (r < 0)
		return r;
	e->so_rcv_tmo_sec = (uint64_t)tv.tv_sec;
	e->so_rcv_tmo_usec = (uint64_t)tv.tv_usec;
	return 0;
}

static int capture_device(struct dump *d, int sk, SkOptsEntry *e, struct err *err)
{
	char dev[IFNAMSIZ] = "";
	socklen_t len = sizeof(dev);

	if (getsockopt(sk, SOL_SOCKET, SO_BINDTODEVICE, dev, &len) < 0)
		return err_sys(err, -errno, "reading SO_BINDTODEVICE");
	if (!len || !dev[0])
		return 0;
	dev[sizeof(dev) - 1] = '\0';
	e->so_bound_dev = arena_strdup(&d->arena, dev);
	return e->so_bound_dev ? 0 : err_nomem(err);
}

/* SO_GET_FILTER counts in instructions, not in bytes. */
static int capture_filter(struct dump *d, struct file_ref *ref, SkOptsEntry *e, struct err *err)
{
	cleanup_free struct sock_filter *f = NULL;
	socklen_t n = 0, i;
	int sk = ref->lfd;

	if (getsockopt(sk, SOL_SOCKET, SO_GET_FILTER, NULL, &n) < 0) {
		if (errno != EACCES)
			return err_sys(err, -errno, "reading the socket's filter");
		dump_refuse(d, ref->task, "%s: '%s' has a filter that is an eBPF program",
			    ref->what, ref->facts.link);
		return KIND_UNSUPPORTED;
	}
	if (!n)
		return 0;
	f = calloc(n, sizeof(*f));
	e->so_filter = arena_alloc(&d->arena, n * sizeof(*e->so_filter));
	if (!f || !e->so_filter)
		return err_nomem(err);
	if (getsockopt(sk, SOL_SOCKET, SO_GET_FILTER, f, &n) < 0)
		return err_sys(err, -errno, "reading the socket's filter");
	for (i = 0; i < n; i++)
		e->so_filter[i] = (uint64_t)f[i].code << 48 | (uint64_t)f[i].jt << 40 |
				  (uint64_t)f[i].jf << 32 | f[i].k;
	e->n_so_filter = n;
	return 0;
}

int sockopts_capture(struct dump *d, struct file_ref *ref, const struct sk_ident *who,
		     SkOptsEntry **ret, struct err *err)
{
	SkOptsEntry *e = arena_alloc(&d->arena, sizeof(*e));
	struct linger linger = { 0 };
	int sk = ref->lfd, r;

	if (!e)
		return err_nomem(err);
	sk_opts_entry__init(e);
	*ret = e;
	r = capture_sizes(sk, e, err);
	if (r == 0)
		r = capture_numbers(sk, who->family, e, err);
	if (r == 0)
		r = get(sk, SO_LINGER, "SO_LINGER", &linger, sizeof(linger), err);
	if (r == 0 && linger.l_onoff) {
		e->has_so_linger = true;
		e->so_linger = (uint32_t)linger.l_linger;
	}
	if (r == 0)
		r = capture_device(d, sk, e, err);
	if (r == 0)
		r = more_opts_capture(d, sk, who, e, err);
	return r == 0 ? capture_filter(d, ref, e, err) : r;
}

/* ---- restore ---- */

int sockopts_check(uint32_t file_id, const struct sk_ident *who, const SkOptsEntry *e,
		   struct err *err)
{
	if (e->so_sndbuf > INT_MAX || e->so_rcvbuf > INT_MAX)
		return err_image(err,
				 "file %u: buffer sizes %u and %u of a socket are out of range",
				 file_id, e->so_sndbuf, e->so_rcvbuf);
	if (e->so_bound_dev && strlen(e->so_bound_dev) >= IFNAMSIZ)
		return err_image(err, "file %u: '%s' is no name of a network device", file_id,
				 e->so_bound_dev);
	if (e->n_so_filter > BPF_MAXINSNS)
		return err_image(err, "file %u: a filter of %zu instructions", file_id,
				 e->n_so_filter);
	if (e->so_snd_tmo_usec > 999999 || e->so_rcv_tmo_usec > 999999)
		return err_image(err, "file %u: timeouts of a socket are out of range", file_id);
	return more_opts_check(file_id, who, e, err);
}

/* The kernel doubles what is asked for, and tells the double. */
static int set_size(int sk, int name, int force, const char *text, uint32_t size, struct err *err)
{
	int now = 0, want = (int)(size / 2);

	if (get(sk, name, text, &now, sizeof(now), err) < 0)
		return err->code;
	if (now == (int)size || setsockopt(sk, SOL_SOCKET, force, &want, sizeof(want)) == 0)
		return 0;
	return set(sk, name, text, &want, sizeof(want), err);
}

static int restore_sizes(int sk, const SkOptsEntry *e, struct err *err)
{
	struct timeval snd = { (time_t)e->so_snd_tmo_sec, (suseconds_t)e->so_snd_tmo_usec };
	struct timeval rcv = { (time_t)e->so_rcv_tmo_sec, (suseconds_t)e->so_rcv_tmo_usec };
	int r = set_size(sk, SO_SNDBUF, SO_SNDBUFFORCE, "SO_SNDBUF", e->so_sndbuf, err);

	if (r == 0)
		r = set_size(sk, SO_RCVBUF, SO_RCVBUFFORCE, "SO_RCVBUF", e->so_rcvbuf, err);
	/* after the sizes, since setting a size locks it */
	if (r == 0 && e->has_so_buf_lock)
		r = set(sk, SO_BUF_LOCK, "SO_BUF_LOCK", &e->so_buf_lock, sizeof(e->so_buf_lock),
			err);
	if (r == 0 && (snd.tv_sec || snd.tv_usec))
		r = set(sk, SO_SNDTIMEO, "SO_SNDTIMEO", &snd, sizeof(snd), err);
	if (r == 0 && (rcv.tv_sec || rcv.tv_usec))
		r = set(sk, SO_RCVTIMEO, "SO_RCVTIMEO", &rcv, sizeof(rcv), err);
	return r;
}

static int restore_numbers(int sk, const SkOptsEntry *e, struct err *err)
{
	size_t i;

	for (i = 0; i < N_OPTS; i++) {
		const struct opt *o = &opts[i];
		int want, now = 0;

		if (o->by_family || !*(const protobuf_c_boolean *)((const char *)e + o->has))
			continue;
		want = o->type == OPT_BOOL ? *(const protobuf_c_boolean *)((const char *)e + o->val)
					   : (int)*(const uint32_t *)((const char *)e + o->val);
		/* what a fresh socket has already need not be set; some families refuse to */
		if (get(sk, o->name, o->text, &now, sizeof(now), err) < 0)
			return err->code;
		if (now != want && set(sk, o->name, o->text, &want, sizeof(want), err) < 0)
			return err->code;
	}
	return 0;
}

static int restore_filter(int sk, const SkOptsEntry *e, struct err *err)
{
	cleanup_free struct sock_filter *f = NULL;
	struct sock_fprog prog;
	size_t i;

	if (!e->n_so_filter)
		return 0;
	f = calloc(e->n_so_filter, sizeof(*f));
	if (!f)
		return err_nomem(err);
	for (i = 0; i < e->n_so_filter; i++) {
		f[i].code = (uint16_t)(e->so_filter[i] >> 48);
		f[i].jt = (uint8_t)(e->so_filter[i] >> 40);
		f[i].jf = (uint8_t)(e->so_filter[i] >> 32);
		f[i].k = (uint32_t)e->so_filter[i];
	}
	prog.len = (unsigned short)e->n_so_filter;
	prog.filter = f;
	return set(sk, SO_ATTACH_FILTER, "SO_ATTACH_FILTER", &prog, sizeof(prog), err);
}

static int restore_device(int sk, const SkOptsEntry *e, struct err *err)
{
	char now[IFNAMSIZ] = "";
	socklen_t len = sizeof(now);

	if (!e->so_bound_dev || !e->so_bound_dev[0])
		return 0;
	if (getsockopt(sk, SOL_SOCKET, SO_BINDTODEVICE, now, &len) == 0 &&
	    strncmp(now, e->so_bound_dev, sizeof(now)) == 0)
		return 0;
	if (set(sk, SO_BINDTODEVICE, "SO_BINDTODEVICE", e->so_bound_dev,
		(socklen_t)strlen(e->so_bound_dev), err) < 0)
		return err_wrap(err, err->code, "binding a socket to device '%s'", e->so_bound_dev);
	return 0;
}

int sockopts_restore_early(int sk, const SkOptsEntry *e, struct err *err)
{
	int r = restore_device(sk, e, err);

	return r == 0 ? more_opts_restore(sk, e, MORE_OPTS_EARLY, err) : r;
}

int sockopts_restore(int sk, const SkOptsEntry *e, struct err *err)
{
	int r = restore_sizes(sk, e, err);

	if (r == 0)
		r = restore_numbers(sk, e, err);
	if (r == 0 && e->has_so_linger) {
		struct linger linger = { 1, (int)e->so_linger };

		r = set(sk, SO_LINGER, "SO_LINGER", &linger, sizeof(linger), err);
	}
	if (r == 0)
		r = restore_device(sk, e, err);
	if (r == 0)
		r = more_opts_restore(sk, e, MORE_OPTS_USUAL, err);
	if (r == 0)
		r = restore_filter(sk, e, err);
	return r == 0 ? more_opts_restore(sk, e, MORE_OPTS_LAST, err) : r;
}

int sockopts_make_room(int sk, struct err *err)
{
	int size = INT_MAX / 2;

	if (setsockopt(sk, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) == 0)
		return 0;
	/* without CAP_NET_ADMIN the limit of the system holds, as it did when the queue was filled
	 */
	return set(sk, SO_SNDBUF, "SO_SNDBUF", &size, sizeof(size), err);
}
