/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Answers: what each type consists of, and sending them. */
#include "engine/rpc/rpc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "engine/base/cleanup.h"
#include "engine/engine.h"
#include "proto/rpc.pb-c.h"

/* The messages that an answer may hold inside. */
struct parts {
	CriuResp resp;
	CriuDumpResp dump;
	CriuRestoreResp restore;
	CriuNotify notify;
	CriuFeatures features;
	CriuVersion version;
	CriuPageServerInfo ps;
};

static void fill_version(struct parts *p)
{
	sscanf(ckpt_criu_version(), "%d.%d", &p->version.major_number, &p->version.minor_number);
	p->resp.version = &p->version;
}

static void fill_features(struct parts *p, const struct rpc_features *f)
{
	p->features.has_mem_track = p->features.has_lazy_pages = p->features.has_pidfd_store = true;
	p->features.mem_track = f->mem_track;
	p->features.lazy_pages = f->lazy_pages;
	p->features.pidfd_store = f->pidfd_store;
	p->resp.features = &p->features;
}

static void fill_notify(struct parts *p, const struct rpc_answer *a)
{
	p->notify.script = (char *)a->stage;
	p->notify.has_pid = a->stage_pid > 0;
	p->notify.pid = a->stage_pid;
	p->resp.notify = &p->notify;
}

static void fill_page_server(struct parts *p, const struct rpc_answer *a)
{
	p->ps.has_pid = p->ps.has_port = true;
	p->ps.pid = a->pid;
	p->ps.port = a->port;
	p->resp.ps = &p->ps;
}

static void fill(struct parts *p, const struct rpc_answer *a)
{
	p->resp.type = (CriuReqType)a->type;
	p->resp.success = a->success;
	p->resp.has_cr_errno = a->cr_errno != 0;
	p->resp.cr_errno = a->cr_errno;
	p->resp.cr_errmsg = (char *)a->message;
	switch (a->type) {
	case RPC_DUMP:
		p->dump.has_restored = true;
		p->resp.dump = &p->dump;
		break;
	case RPC_RESTORE:
		p->restore.pid = a->success ? a->pid : -1;
		p->resp.restore = &p->restore;
		break;
	case RPC_NOTIFY:
		fill_notify(p, a);
		break;
	case RPC_VERSION:
		fill_version(p);
		break;
	case RPC_FEATURE_CHECK:
		if (a->success)
			fill_features(p, &a->features);
		break;
	case RPC_PAGE_SERVER:
		if (a->success)
			fill_page_server(p, a);
		break;
	case RPC_WAIT_PID:
		p->resp.has_status = a->success;
		p->resp.status = a->status;
		break;
	default:
		break;
	}
}

static int send_packet(int sk, void *data, size_t len, int fd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { data, len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;
	ssize_t n;

	if (fd >= 0) {
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	do
		n = sendmsg(sk, &msg, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

int rpc_send(int sk, const struct rpc_answer *answer, int fd, struct err *err)
{
	struct parts p = { CRIU_RESP__INIT,
			   CRIU_DUMP_RESP__INIT,
			   CRIU_RESTORE_RESP__INIT,
			   CRIU_NOTIFY__INIT,
			   CRIU_FEATURES__INIT,
			   CRIU_VERSION__INIT,
			   CRIU_PAGE_SERVER_INFO__INIT };
	cleanup_free uint8_t *data = NULL;
	size_t len;
	int r;

	fill(&p, answer);
	len = criu_resp__get_packed_size(&p.resp);
	data = malloc(len ?: 1);
	if (!data)
		return err_nomem(err);
	criu_resp__pack(&p.resp, data);
	r = send_packet(sk, data, len, fd);
	return r < 0 ? err_sys(err, r, "sending to the client") : 0;
}
