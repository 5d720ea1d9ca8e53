/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/rpc/rpc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/base/buf.h"
#include "proto/rpc.pb-c.h"
#include "tests/lib/test.h"

static struct err err;

static int pack_and_parse(const CriuReq *m, struct rpc_request *ret)
{
	size_t len = criu_req__get_packed_size(m);
	uint8_t *data = malloc(len);
	int r;

	criu_req__pack(m, data);
	memset(&err, 0, sizeof(err));
	r = rpc_parse(data, len, ret, &err);
	free(data);
	return r;
}

static int note(void *arg, const struct rpc_option *o, struct err *e)
{
	buf_printf(arg, "%u:", o->field);
	for (size_t i = 0; i < o->n; i++)
		buf_printf(arg, " %s", o->words[i] ?: "-");
	buf_printf(arg, "\n");
	return 0;
}

TEST(a_request_is_read)
{
	CriuReq m = CRIU_REQ__INIT;
	CriuFeatures f = CRIU_FEATURES__INIT;
	struct rpc_request r;

	m.type = CRIU_REQ_TYPE__FEATURE_CHECK;
	m.has_keep_open = m.keep_open = true;
	m.features = &f;
	f.has_lazy_pages = f.lazy_pages = true;
	f.has_mem_track = true;
	check_int(pack_and_parse(&m, &r), 0);
	check_int(r.type, RPC_FEATURE_CHECK);
	check(r.keep_open && !r.notify_success && r.has_features && !r.has_options);
	check(r.features.lazy_pages && !r.features.mem_track && !r.features.pidfd_store);
	rpc_request_done(&r);
	m.type = (CriuReqType)99;
	check_int(pack_and_parse(&m, &r), 0);
	check_int(r.type, 99);
	rpc_request_done(&r);
}

TEST(options_come_as_words_in_the_order_of_their_numbers)
{
	cleanup_buf struct buf text = BUF_INIT;
	CriuReq m = CRIU_REQ__INIT;
	CriuOpts o = CRIU_OPTS__INIT;
	JoinNamespace join = JOIN_NAMESPACE__INIT, *joins[] = { &join };
	CgroupRoot v1 = CGROUP_ROOT__INIT, v2 = CGROUP_ROOT__INIT, *roots[] = { &v1, &v2 };
	InheritFd fd = INHERIT_FD__INIT, *fds[] = { &fd, &fd };
	char *skip[] = { (char *)"/a", (char *)"", (char *)"/c" };
	struct arena arena = { 0 };
	struct rpc_request r;

	m.type = CRIU_REQ_TYPE__RESTORE;
	m.opts = &o;
	o.images_dir_fd = 7;
	o.has_pid = true;
	o.pid = -5;
	o.has_tcp_close = true;
	o.has_cpu_cap = true;
	o.cpu_cap = 0xffffffff;
	o.root = (char *)"/r";
	o.skip_mnt = skip;
	o.n_skip_mnt = 3;
	join.ns = (char *)"user";
	join.ns_file = (char *)"12";
	o.join_ns = joins;
	o.n_join_ns = 1;
	v1.path = (char *)"/x";
	v2.path = (char *)"/y";
	v2.ctrl = (char *)"";
	o.cg_root = roots;
	o.n_cg_root = 2;
	fd.key = (char *)"pipe:[1]";
	fd.fd = 0;
	o.inherit_fd = fds;
	o.n_inherit_fd = 2;
	o.has_manage_cgroups_mode = true;
	o.manage_cgroups_mode = CRIU_CG_MODE__DEFAULT;
	check_int(pack_and_parse(&m, &r), 0);
	check_int(rpc_each_option(&r, &arena, note, &text, &err), 0);
	rpc_request_done(&r);
	check_str(text.data, "1: 7\n2: -5\n13: /r\n20: 4294967295\n25: - /x\n25:  /y\n"
			     "27: pipe:[1] 0\n27: pipe:[1] 0\n31: /a\n31: \n31: /c\n34: 6\n"
			     "39: user 12 -\n52: false\n");
	arena_done(&arena);
}

static int stop_at_13(void *arg, const struct rpc_option *o, struct err *e)
{
	++*(int *)arg;
	return o->field == 13 ? err_usage(e, "no root") : 0;
}

TEST(a_negative_result_ends_the_list)
{
	CriuReq m = CRIU_REQ__INIT;
	CriuOpts o = CRIU_OPTS__INIT;
	struct arena arena = { 0 };
	struct rpc_request r;
	int calls = 0;

	m.opts = &o;
	o.root = (char *)"/r";
	o.has_lazy_pages = true;
	check_int(pack_and_parse(&m, &r), 0);
	check_int(rpc_each_option(&r, &arena, stop_at_13, &calls, &err), -EINVAL);
	check_int(calls, 2);
	check_str(err.text, "no root");
	rpc_request_done(&r);
	arena_done(&arena);
}

TEST(garbage_is_refused)
{
	struct rpc_request r;
	uint8_t no_type[] = { 0x18, 1 }, cut[] = { 8, 1, 0x12, 50, 8 };

	check_int(rpc_parse("\xff\xff", 2, &r, &err), -EBADMSG);
	check_int(rpc_parse("", 0, &r, &err), -EBADMSG);
	check_int(rpc_parse(no_type, sizeof(no_type), &r, &err), -EBADMSG);
	check_int(rpc_parse(cut, sizeof(cut), &r, &err), -EBADMSG);
	check_int(err.class, ERR_IMAGE);
}

TEST(sockets)
{
	const struct rpc_answer a = { .type = RPC_RESTORE, .success = true, .pid = 12 };
	int sp[2], large = RPC_MAX_BYTES * 4, p[2];
	struct rpc_request r;
	CriuResp *resp;
	uint8_t got[256];
	void *huge = calloc(1, RPC_MAX_BYTES + 1);
	ssize_t n;

	check_int(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sp), 0);
	check_int(rpc_send(sp[0], &a, -1, &err), 0);
	n = recv(sp[1], got, sizeof(got), 0);
	resp = criu_resp__unpack(NULL, (size_t)n, got);
	check(resp && resp->restore && resp->restore->pid == 12 && resp->success);
	check(!resp->has_cr_errno && !resp->cr_errmsg && !resp->notify);
	criu_resp__free_unpacked(resp, NULL);
	check_int(send(sp[1], "\x08\x0a", 2, 0), 2);
	check_int(rpc_receive(sp[0], &r, &err), 0);
	check_int(r.type, RPC_VERSION);
	rpc_request_done(&r);
	/* as large as this machine lets a packet be */
	if (setsockopt(sp[1], SOL_SOCKET, SO_SNDBUFFORCE, &large, sizeof(large)) == 0 &&
	    send(sp[1], huge, RPC_MAX_BYTES + 1, 0) > 0)
		check_int(rpc_receive(sp[0], &r, &err), -EBADMSG);
	free(huge);
	check_int(pipe(p), 0);
	check_int(rpc_receive(p[0], &r, &err), -ENOTSOCK);
	close(sp[0]);
	close(sp[1]);
	close(p[0]);
	close(p[1]);
}

TEST(a_closed_socket)
{
	const struct rpc_answer a = { .type = RPC_NOTIFY, .stage = "pre-dump" };
	struct rpc_request r;
	int sp[2];

	check_int(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sp), 0);
	close(sp[1]);
	check_int(rpc_receive(sp[0], &r, &err), RPC_END);
	/* and no SIGPIPE */
	check_int(rpc_send(sp[0], &a, -1, &err), -EPIPE);
	close(sp[0]);
}

TEST_MAIN()
