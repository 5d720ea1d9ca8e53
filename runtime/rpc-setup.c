/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From a request to an operation of the engine: its options, and the stages it tells. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/rpc.h"

/* What CRIU takes where nobody names a log. */
#define DEFAULT_LOG "criu.log"

/* ---- options ---- */

/* A file that the request names has the last word; that it is not there is no error. */
static int read_config(struct rpc_setup *s, struct err *err)
{
	size_t own = s->cli.scripts.n;
	int r = s->config_file ? cli_read_config(&s->cli, s->config_file, false, err) : 0;

	if (r == 0 && s->session->service && s->cli.scripts.n > own)
		return err_usage(err, "'%s': a service runs no action scripts of its clients",
				 s->config_file);
	return r;
}

static int take_options(struct rpc_setup *s, const struct rpc_request *req, struct err *err)
{
	struct ckpt_options *o = &s->cli.ckpt;
	int r = rpc_each_option(req, &s->cli.arena, rpc_take_option, s, err);

	if (r == 0 && s->page_server && !o->lazy_pages)
		r = opt_apply(opt_find_rpc(&cli_options, 11), &s->cli, NULL, &s->cli.rest, err);
	if (s->log_to_stderr && !s->has_log_file)
		o->log_file = NULL;
	if (r == 0)
		r = read_config(s, err);
	if (!o->log_file && !s->log_to_stderr)
		o->log_file = DEFAULT_LOG;
	cli_settle(&s->cli);
	if (s->command.n)
		o->exec_cmd = (struct ckpt_strings){ s->command.v, s->command.n };
	return r;
}

static int complete(struct rpc_setup *s, enum verb verb, struct err *err)
{
	const struct rpc_peer *peer = &s->session->peer;
	struct ckpt_options *o = &s->cli.ckpt;
	struct stat st;

	if (verb != VERB_CHECK && !o->images_dir)
		return err_usage(err, "neither images_dir_fd nor images_dir is given");
	if (verb == VERB_RESTORE)
		o->restore_detached = true;
	if (verb != VERB_DUMP && verb != VERB_PRE_DUMP)
		return 0;
	if (fstat(s->session->sk, &st) < 0)
		return err_sys(err, -errno, "looking at the socket of the client");
	o->service_ino = (uint32_t)st.st_ino;
	o->for_user = !peer->trusted;
	o->user_uid = peer->uid;
	if (!o->pid)
		o->pid = peer->pid;
	if (o->pid <= 0)
		return err_usage(err, "the client dumps itself, and is not to be seen from here");
	return 0;
}

int rpc_setup_init(struct rpc_setup *s, const struct rpc_session *session,
		   const struct rpc_request *req, enum verb verb, struct err *err)
{
	int r;

	memset(s, 0, sizeof(*s));
	s->session = session;
	s->images_fd = s->work_fd = -1;
	r = cli_start(&s->cli, session->no_default_config, err);
	if (r == 0)
		r = rpc_peer_enter(&session->peer, err);
	if (r == 0)
		r = take_options(s, req, err);
	if (r == 0)
		r = complete(s, verb, err);
	if (r == 0)
		r = cli_refuse_later(&s->cli, verb, err);
	if (r == 0)
		r = stages_init(&s->stages, &s->cli, err);
	s->cli.ckpt.notify = rpc_at_stage;
	s->cli.ckpt.notify_arg = s;
	return r;
}

void rpc_setup_done(struct rpc_setup *s)
{
	rpc_peer_leave(&s->session->peer);
	if (s->images_fd >= 0)
		close(s->images_fd);
	if (s->work_fd >= 0)
		close(s->work_fd);
	vec_free(&s->command);
	cli_done(&s->cli);
}

/* ---- stages ---- */

/* Who asked for it and is gone does not get what cannot be undone. */
static int check_client(int sk, struct err *err)
{
	struct pollfd p = { .fd = sk };

	if (poll(&p, 1, 0) > 0 && p.revents & (POLLHUP | POLLERR))
		return err_new(err, ERR_ENVIRONMENT, -ECONNRESET,
			       "the client has closed the connection");
	return 0;
}

static int take_external(void *arg, const struct rpc_option *o, struct err *err)
{
	return o->field == 37 ? rpc_take_option(arg, o, err) : 0;
}

/* The answer to "query-ext-files" may name more resources from outside. */
static int take_answer(struct rpc_setup *s, const char *stage, const struct rpc_request *req,
		       struct err *err)
{
	int r = 0;

	if (req->type != RPC_NOTIFY)
		return err_new(err, ERR_ENVIRONMENT, -EPROTO,
			       "the client sent a request of type %u in place of an answer",
			       req->type);
	if (!req->notify_success)
		return err_new(err, ERR_ENVIRONMENT, -ECANCELED, "the client refused");
	if (strcmp(stage, "query-ext-files") == 0) {
		r = rpc_each_option(req, &s->cli.arena, take_external, s, err);
		cli_settle(&s->cli);
	}
	return r;
}

/* Sends a stage and waits for the answer. */
static int tell(struct rpc_setup *s, const char *stage, pid_t pid, int fd, struct err *err)
{
	struct rpc_answer a = { .type = RPC_NOTIFY, .success = true, .stage = stage };
	struct rpc_request req;
	int r;

	if (strcmp(stage, "setup-namespaces") == 0 || strcmp(stage, "post-restore") == 0)
		a.stage_pid = pid;
	r = rpc_send(s->session->sk, &a, fd, err);
	if (r < 0)
		return r;
	r = rpc_receive(s->session->sk, &req, err);
	if (r == RPC_END)
		return err_new(err, ERR_ENVIRONMENT, -ECONNRESET,
			       "the client has closed the connection");
	if (r < 0)
		return r;
	r = take_answer(s, stage, &req, err);
	rpc_request_done(&req);
	return r;
}

/* A client that dumps itself is stopped from the first stage on, and cannot answer. */
static bool can_answer(const struct rpc_setup *s, const char *stage)
{
	return s->notify &&
	       (s->cli.ckpt.pid != s->session->peer.pid || strcmp(stage, "pre-dump") == 0);
}

int rpc_at_stage(void *setup, const char *stage, pid_t pid, int fd, struct err *err)
{
	struct rpc_setup *s = setup;
	/* these two ask for something, which a script has no way to give */
	bool is_question = strcmp(stage, "query-ext-files") == 0 ||
			   strcmp(stage, "orphan-pts-master") == 0;
	int r = 0;

	if (strcmp(stage, "post-dump") == 0 || strcmp(stage, "post-restore") == 0)
		r = check_client(s->session->sk, err);
	if (r == 0 && can_answer(s, stage))
		r = tell(s, stage, pid, fd, err);
	return r == 0 && !is_question ? stages_run(&s->stages, stage, pid, err) : r;
}
