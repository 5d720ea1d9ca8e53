/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A packet of a client, decoded, with all its options taken. The client is one that nobody trusts
 * and that has no descriptors; whatever it says, the options stay within what commands may set.
 */
#include <assert.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/rpc.h"
#include "tests/fuzz/fuzz.h"

static int count(void *arg, const struct rpc_option *o, struct err *err)
{
	size_t *n = arg;

	assert(o->n > 0 && o->field > 0);
	for (size_t i = 0; i < o->n; i++)
		*n += o->words[i] ? strlen(o->words[i]) : 0;
	return 0;
}

static void take(const struct rpc_request *req, bool service, bool trusted)
{
	const struct rpc_session session = {
		.sk = -1, .service = service, .peer = { .pidfd = -1, .uid = 7, .trusted = trusted }
	};
	struct rpc_setup s = { .session = &session, .images_fd = -1, .work_fd = -1 };
	struct err err = ERR_INIT;
	int r;

	cli_init(&s.cli);
	r = rpc_each_option(req, &s.cli.arena, rpc_take_option, &s, &err);
	cli_settle(&s.cli);
	assert(r == 0 || (r < 0 && err.text[0]));
	assert(s.images_fd == -1 && s.work_fd == -1 && s.cli.status_fd == -1);
	assert(trusted || (!s.config_file && !s.command.n));
	assert(!service || (!s.cli.inherit_fds.n && (r < 0 || !s.cli.ckpt.restore_sibling)));
	assert(!(s.cli.ckpt.empty_ns & ~(unsigned int)CLONE_NEWNET));
	assert(!s.cli.ckpt.log_file || !strchr(s.cli.ckpt.log_file, '/'));
	assert(!s.cli.scripts.n || r < 0 || trusted);
	vec_free(&s.command);
	cli_done(&s.cli);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena arena = { 0 };
	struct rpc_request req;
	struct err err = ERR_INIT;
	size_t bytes = 0;

	if (rpc_parse(data, size, &req, &err) < 0) {
		assert(err.class == ERR_IMAGE && err.text[0]);
		return 0;
	}
	assert(rpc_each_option(&req, &arena, count, &bytes, &err) == 0);
	arena_done(&arena);
	take(&req, true, false);
	take(&req, true, true);
	take(&req, false, true);
	rpc_request_done(&req);
	return 0;
}
