/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Requests: one message, notifications to be acknowledged, one answer. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/libcriu/libcriu-priv.h"

/* One request and what became of it. */
struct call {
	const criu_opts *opts;
	CriuReq req;
	CriuResp *resp; /* NULL until there is one */
	int error;	/* what the caller finds in errno */
};

static int orphan_pts_master = -1;

int criu_get_orphan_pts_master_fd(void)
{
	return orphan_pts_master;
}

static int send_request(struct call *call, int fd, const CriuReq *req)
{
	size_t len = criu_req__get_packed_size(req);
	uint8_t *data = malloc(len);
	ssize_t n;

	if (!data) {
		call->error = ENOMEM;
		return -ECOMM;
	}
	criu_req__pack(req, data);
	do
		n = send(fd, data, len, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		call->error = errno;
	free(data);
	return n < 0 ? -ECOMM : 0;
}

/* Takes the descriptor that came with a message, if there is one; -1 otherwise. */
static int received_fd(struct msghdr *msg)
{
	int fd = -1;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
		    c->cmsg_len >= CMSG_LEN(sizeof(fd)))
			memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

static ssize_t receive(int fd, void *data, size_t len, int flags, int *ret_fd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { .iov_base = data, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = ret_fd ? control.bytes : NULL,
			      .msg_controllen = ret_fd ? sizeof(control.bytes) : 0 };
	ssize_t n;

	do
		n = recvmsg(fd, &msg, flags);
	while (n < 0 && errno == EINTR);
	if (n >= 0 && ret_fd)
		*ret_fd = received_fd(&msg);
	return n;
}

/* An empty message is the end of the connection. *ret_fd may be a descriptor that came along. */
static int receive_response(struct call *call, int fd, int *ret_fd)
{
	ssize_t len = receive(fd, NULL, 0, MSG_PEEK | MSG_TRUNC, NULL);
	uint8_t *data;

	*ret_fd = -1;
	if (len <= 0) {
		call->error = len < 0 ? errno : ECONNRESET;
		return -ECOMM;
	}
	data = malloc((size_t)len);
	if (!data || receive(fd, data, (size_t)len, 0, ret_fd) != len) {
		call->error = data ? ECONNRESET : ENOMEM;
		free(data);
		return -ECOMM;
	}
	call->resp = criu_resp__unpack(NULL, (size_t)len, data);
	free(data);
	if (call->resp)
		return 0;
	call->error = EBADMSG;
	return -ECOMM;
}

static void drop_response(struct call *call)
{
	if (call->resp)
		criu_resp__free_unpacked(call->resp, NULL);
	call->resp = NULL;
}

/* Tells the caller of a stage and the engine what came of it. 0: the operation goes on. */
static int notify(struct call *call, int fd, int received)
{
	CriuNotify *n = call->resp->notify;
	CriuReq ack = CRIU_REQ__INIT;
	int verdict = 0, r;

	if (!n || !n->script) {
		if (received >= 0)
			close(received);
		return -EBADMSG;
	}
	if (received >= 0)
		orphan_pts_master = received;
	if (call->opts->notify)
		verdict = call->opts->notify(n->script, n);
	ack.type = CRIU_REQ_TYPE__NOTIFY;
	ack.has_notify_success = true;
	ack.notify_success = verdict == 0;
	r = send_request(call, fd, &ack);
	return verdict ? verdict : r;
}

/* Sends the request and leaves the answer in call->resp. 0, the verdict of the callback that ended
 * it, or what the header says. */
static int exchange(struct call *call, int fd)
{
	int received, r;

	drop_response(call);
	r = send_request(call, fd, &call->req);
	while (r == 0) {
		r = receive_response(call, fd, &received);
		if (r < 0)
			return r;
		if (call->resp->type != CRIU_REQ_TYPE__NOTIFY)
			break;
		r = notify(call, fd, received);
		drop_response(call);
		received = -1;
	}
	if (r != 0)
		return r;
	if (received >= 0)
		close(received);
	if (call->resp->has_cr_errno)
		call->error = call->resp->cr_errno;
	if (call->resp->type == call->req.type)
		return 0;
	return call->resp->type == CRIU_REQ_TYPE__EMPTY && !call->resp->success ? -EINVAL
										: -EBADMSG;
}

static struct call begin(const criu_opts *opts, CriuReqType type)
{
	struct call call = { .opts = opts };

	criu_req__init(&call.req);
	call.req.type = type;
	call.req.opts = opts->rpc;
	return call;
}

/* 0: the engine says that it is done. The answer stays in the call. */
static int ask(struct call *call)
{
	bool self = call->req.type == CRIU_REQ_TYPE__DUMP && !call->req.opts->has_pid;
	struct connection c;
	int r = libcriu_connect(call->opts, self, &c);

	if (r < 0) {
		call->error = -r;
		return -ECONNREFUSED;
	}
	r = exchange(call, c.fd);
	libcriu_disconnect(&c);
	if (r == 0 && !call->resp->success)
		r = -EBADE;
	return r;
}

static int end(struct call *call, int r)
{
	drop_response(call);
	errno = call->error;
	return r;
}

static int restored_pid(const struct call *call)
{
	return call->resp->restore ? call->resp->restore->pid : -EBADMSG;
}

int criu_local_check(criu_opts *opts)
{
	struct call call = begin(opts, CRIU_REQ_TYPE__CHECK);

	call.req.opts = NULL;
	return end(&call, ask(&call));
}

/* In a restored caller the same connection brings the same answer, which says that it is one. */
int criu_local_dump(criu_opts *opts)
{
	struct call call = begin(opts, CRIU_REQ_TYPE__DUMP);
	int r = ask(&call);

	if (r == 0 && call.resp->dump && call.resp->dump->has_restored && call.resp->dump->restored)
		r = 1;
	return end(&call, r);
}

int criu_local_pre_dump(criu_opts *opts)
{
	struct call call = begin(opts, CRIU_REQ_TYPE__SINGLE_PRE_DUMP);

	return end(&call, ask(&call));
}

int criu_local_restore(criu_opts *opts)
{
	struct call call = begin(opts, CRIU_REQ_TYPE__RESTORE);
	int r = ask(&call);

	return end(&call, r == 0 ? restored_pid(&call) : r);
}

int criu_local_restore_child(criu_opts *opts)
{
	const char *binary = opts->comm == CRIU_COMM_BIN && opts->service ? opts->service
									  : DEFAULT_BINARY;
	struct call call = begin(opts, CRIU_REQ_TYPE__RESTORE);
	struct connection c;
	int r = libcriu_start(binary, false, &c);

	if (r < 0) {
		call.error = -r;
		return end(&call, -ECONNREFUSED);
	}
	opts->rpc->has_rst_sibling = opts->rpc->rst_sibling = true;
	r = exchange(&call, c.fd);
	/* After the answer of a success the engine ends by itself; else it must see us go. */
	if (r == 0)
		libcriu_reap(&c);
	libcriu_disconnect(&c);
	if (r == 0)
		r = call.resp->success ? restored_pid(&call) : -EBADE;
	return end(&call, r);
}

/* All rounds are one connection: the engine keeps what it knows of the tree. */
static int iterate(struct call *call, int fd, int (*more)(criu_predump_info pi))
{
	int r;

	do {
		r = exchange(call, fd);
		if (r != 0)
			return r;
		if (!call->resp->success)
			return -EBADE;
		r = more(NULL);
	} while (r > 0);
	if (r < 0)
		return r;
	call->req.type = CRIU_REQ_TYPE__DUMP;
	r = exchange(call, fd);
	return r == 0 && !call->resp->success ? -EBADE : r;
}

int criu_local_dump_iters(criu_opts *opts, int (*more)(criu_predump_info pi))
{
	struct call call = begin(opts, CRIU_REQ_TYPE__PRE_DUMP);
	struct connection c;
	int r;

	if (!opts->rpc->has_pid || !more)
		return end(&call, -EINVAL);
	r = libcriu_connect(opts, false, &c);
	if (r < 0) {
		call.error = -r;
		return end(&call, -ECONNREFUSED);
	}
	r = iterate(&call, c.fd, more);
	libcriu_disconnect(&c);
	return end(&call, r);
}

int criu_local_get_version(criu_opts *opts)
{
	struct call call = begin(opts, CRIU_REQ_TYPE__VERSION);
	int r = ask(&call);
	CriuVersion *v;

	if (r < 0)
		return end(&call, r);
	v = call.resp->version;
	if (!v)
		return end(&call, -EBADMSG);
	r = v->major_number * 10000 + v->minor_number * 100;
	if (v->gitid && v->gitid[0])
		r += 100;
	else if (v->has_sublevel)
		r += v->sublevel;
	return end(&call, r);
}

int criu_local_check_version(criu_opts *opts, int minimum)
{
	int version = criu_local_get_version(opts);

	return version < 0 ? version : version >= minimum;
}

/* The caller's struct may be that of an older header, and then it is shorter than ours. */
int criu_local_feature_check(criu_opts *opts, struct criu_feature_check *features, size_t size)
{
	struct call call = begin(opts, CRIU_REQ_TYPE__FEATURE_CHECK);
	struct criu_feature_check asked = { 0 }, found = { 0 };
	CriuFeatures wire = CRIU_FEATURES__INIT;
	int r;

	if (!features || size > sizeof(asked))
		return end(&call, -1);
	memcpy(&asked, features, size);
	wire.has_mem_track = wire.mem_track = asked.mem_track;
	wire.has_lazy_pages = wire.lazy_pages = asked.lazy_pages;
	wire.has_pidfd_store = wire.pidfd_store = asked.pidfd_store;
	call.req.features = &wire;
	r = ask(&call);
	if (r < 0)
		return end(&call, r);
	if (call.resp->features) {
		found.mem_track = call.resp->features->mem_track;
		found.lazy_pages = call.resp->features->lazy_pages;
		found.pidfd_store = call.resp->features->pidfd_store;
	}
	memcpy(features, &found, size);
	return end(&call, 0);
}

/* ---- the same on the library's own set ---- */

#define CALL(name, params, args)                                \
	int criu_##name params                                  \
	{                                                       \
		criu_opts *opts = libcriu_own_set();            \
                                                                \
		return opts ? criu_local_##name args : -ENOMEM; \
	}

/* clang-format off */
CALL(check, (void), (opts))
CALL(dump, (void), (opts))
CALL(pre_dump, (void), (opts))
CALL(restore, (void), (opts))
CALL(restore_child, (void), (opts))
CALL(dump_iters, (int (*more)(criu_predump_info pi)), (opts, more))
CALL(get_version, (void), (opts))
CALL(check_version, (int minimum), (opts, minimum))
CALL(feature_check, (struct criu_feature_check *features, size_t size), (opts, features, size))
/* clang-format on */
