/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A connection from its first request to its end: what is done for each type, and the answers. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/cmd.h"
#include "runtime/rpc.h"

/* Exit statuses of a connection, which libraries of clients look at. */
enum { DONE = 0, FAILED = 1, BROKEN = 255 };

static int say(const struct rpc_session *s, const struct rpc_answer *a)
{
	struct err err = ERR_INIT;
	int r = rpc_send(s->sk, a, -1, &err);

	if (r < 0)
		fprintf(stderr, "Error: %s\n", err.text);
	return r;
}

/* The text of a failure has the shape of a line of the log: clients look for it. */
static int say_failed(const struct rpc_session *s, struct rpc_answer *a, const struct err *err)
{
	char text[ERR_TEXT_SIZE + ERR_HINT_SIZE + 128];

	snprintf(text, sizeof(text), "Error (%s:%d): %s%s%s", err->file, err->line, err->text,
		 err->hint[0] ? "; hint: " : "", err->hint);
	a->success = false;
	a->message = text;
	return say(s, a);
}

/* A request that could not even be begun; there may be no place for a log. */
static int say_bad_request(const struct rpc_session *s, const struct rpc_setup *setup,
			   struct rpc_answer *a, const struct err *err)
{
	const struct ckpt_options *o = &setup->cli.ckpt;

	if (!(o->work_dir || o->images_dir) || !ckpt_log_failure(o, err))
		fprintf(stderr, "Error (%s:%d): %s\n", err->file, err->line, err->text);
	a->cr_errno = EBADRQC;
	return say_failed(s, a, err);
}

/* The errors that clients tell apart. */
static int errno_for(const struct err *err)
{
	switch (-err->code) {
	case ESRCH:
	case EEXIST:
		return -err->code;
	default:
		return err->class == ERR_USAGE ? EBADRQC : 0;
	}
}

static int say_result(const struct rpc_session *s, struct rpc_answer *a, int r,
		      const struct err *err)
{
	a->success = r == 0;
	if (r < 0)
		a->cr_errno = errno_for(err);
	r = r == 0 ? say(s, a) : say_failed(s, a, err) ?: -EIO;
	return r < 0 ? FAILED : DONE;
}

static int run_dump(const struct rpc_session *s, const struct rpc_request *req)
{
	struct rpc_answer a = { .type = RPC_DUMP };
	struct ckpt_result result = { 0 };
	struct err err = ERR_INIT;
	struct rpc_setup setup;
	int r = rpc_setup_init(&setup, s, req, VERB_DUMP, &err), status;
	const struct ckpt_options *o = &setup.cli.ckpt;

	if (r < 0) {
		say_bad_request(s, &setup, &a, &err);
		status = FAILED;
	} else {
		r = ckpt_dump(o, &result, &err);
		/* it was the client, which is told when it is restored */
		status = r == 0 && o->pid == s->peer.pid && !o->leave_running
				 ? DONE
				 : say_result(s, &a, r, &err);
	}
	rpc_setup_done(&setup);
	return status;
}

/* Its output goes to the log, behind what is there. */
static void redirect_to_log(const struct ckpt_options *o)
{
	const char *dir = o->work_dir ?: o->images_dir;
	char path[4096];
	int fd;

	if (!o->log_file || strcmp(o->log_file, "-") == 0)
		return;
	snprintf(path, sizeof(path), "%s%s%s", o->log_file[0] == '/' ? "" : dir,
		 o->log_file[0] == '/' ? "" : "/", o->log_file);
	fd = open(path, O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return;
	dup2(fd, STDOUT_FILENO);
	dup2(fd, STDERR_FILENO);
	close(fd);
}

static int run_restore(const struct rpc_session *s, const struct rpc_request *req)
{
	struct rpc_answer a = { .type = RPC_RESTORE };
	struct ckpt_result result = { 0 };
	struct err err = ERR_INIT;
	struct rpc_setup setup;
	int r = rpc_setup_init(&setup, s, req, VERB_RESTORE, &err), status;

	if (r < 0) {
		say_bad_request(s, &setup, &a, &err);
		status = FAILED;
	} else {
		r = ckpt_restore(&setup.cli.ckpt, &result, &err);
		a.pid = result.root_pid;
		status = say_result(s, &a, r, &err);
	}
	if (status == DONE && setup.command.n) {
		redirect_to_log(&setup.cli.ckpt);
		become_command(&setup.cli.ckpt, &err);
		fprintf(stderr, "Error: %s\n", err.text);
		status = FAILED;
	}
	rpc_setup_done(&setup);
	return status;
}

static int check_features(struct err *err)
{
	struct ckpt_feature *v;
	size_t n;
	int r = ckpt_check(&v, &n, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < n && r == 0; i++)
		if (v[i].required && !v[i].present)
			r = err_new(err, ERR_ENVIRONMENT, v[i].code ?: -ENOSYS, "missing: %s: %s",
				    v[i].name, v[i].lost);
	free(v);
	return r;
}

static int run_check(const struct rpc_session *s, const struct rpc_request *req)
{
	struct rpc_answer a = { .type = RPC_CHECK };
	struct err err = ERR_INIT;
	struct rpc_setup setup;
	int r = rpc_setup_init(&setup, s, req, VERB_CHECK, &err);

	rpc_setup_done(&setup);
	if (r == 0)
		r = check_features(&err);
	a.success = r == 0;
	return (r == 0 ? say(s, &a) : say_failed(s, &a, &err)) < 0 ? BROKEN : DONE;
}

/* Only what was asked for is probed, and can be true. */
static bool has_feature(bool asked, const char *name)
{
	struct ckpt_feature f;
	struct err err = ERR_INIT;

	return asked && ckpt_check_one(name, &f, &err) == 0 && f.present;
}

static int run_feature_check(const struct rpc_session *s, const struct rpc_request *req)
{
	struct rpc_answer a = { .type = RPC_FEATURE_CHECK, .success = req->has_features };

	a.features.mem_track = has_feature(req->features.mem_track, "mem_dirty_track");
	a.features.lazy_pages = has_feature(req->features.lazy_pages, "uffd-noncoop");
	a.features.pidfd_store = has_feature(req->features.pidfd_store, "pidfd_store");
	return say(s, &a) < 0 ? BROKEN : DONE;
}

/* Clients start us for this alone, several times for one checkpoint: nothing is looked at. */
static int run_version(const struct rpc_session *s, const struct rpc_request *req)
{
	const struct rpc_answer a = { .type = RPC_VERSION, .success = true };

	return say(s, &a) < 0 ? BROKEN : DONE;
}

static int run_wait_pid(const struct rpc_session *s, const struct rpc_request *req)
{
	struct rpc_answer a = { .type = RPC_WAIT_PID };

	a.success = req->pid > 0 && waitpid(req->pid, &a.status, 0) >= 0;
	if (!a.success)
		a.cr_errno = req->pid > 0 ? errno : EINVAL;
	return say(s, &a) < 0 ? BROKEN : DONE;
}

/* What the engine cannot do yet; its options are checked, so that the client learns of both. */
static int refuse(const struct rpc_session *s, const struct rpc_request *req, enum verb verb,
		  struct rpc_answer *a, const char *name)
{
	struct err err = ERR_INIT;
	struct rpc_setup setup;
	int r = rpc_setup_init(&setup, s, req, verb, &err);

	if (r == 0)
		err_refuse(&err, "%s is not supported yet", name);
	if (r < 0)
		say_bad_request(s, &setup, a, &err);
	else
		say_failed(s, a, &err);
	rpc_setup_done(&setup);
	return DONE;
}

static int run_pre_dump(const struct rpc_session *s, const struct rpc_request *req)
{
	struct rpc_answer a = { .type = (enum rpc_type)req->type };

	refuse(s, req, VERB_PRE_DUMP, &a, "pre-dump");
	return BROKEN;
}

/* The answer has this type for a server of either kind. */
static int run_page_server(const struct rpc_session *s, const struct rpc_request *req)
{
	struct rpc_answer a = { .type = RPC_PAGE_SERVER };

	return refuse(s, req, VERB_PAGE_SERVER, &a, "page-server");
}

static int run_cpuinfo(const struct rpc_session *s, const struct rpc_request *req)
{
	struct rpc_answer a = { .type = (enum rpc_type)req->type };
	struct err err = ERR_INIT;
	struct rpc_setup setup;
	int r = rpc_setup_init(&setup, s, req, VERB_CPUINFO, &err);

	if (r < 0) {
		say_bad_request(s, &setup, &a, &err);
		rpc_setup_done(&setup);
		return DONE;
	}
	r = req->type == RPC_CPUINFO_DUMP ? ckpt_cpuinfo_dump(&setup.cli.ckpt, &err)
					  : ckpt_cpuinfo_check(&setup.cli.ckpt, &err);
	rpc_setup_done(&setup);
	a.success = r == 0;
	if (r == -ENOTSUP)
		a.cr_errno = ENOTSUP;
	return (r == 0 ? say(s, &a) : say_failed(s, &a, &err)) < 0 ? BROKEN : DONE;
}

static const struct {
	enum rpc_type type;
	bool can_stay; /* the connection may be kept open for more */
	bool for_all;  /* also for a client that is not trusted */
	int (*run)(const struct rpc_session *s, const struct rpc_request *req);
} handlers[] = {
	{ RPC_DUMP, false, true, run_dump },
	{ RPC_RESTORE, false, false, run_restore },
	{ RPC_CHECK, false, true, run_check },
	{ RPC_PRE_DUMP, false, true, run_pre_dump },
	{ RPC_PAGE_SERVER, true, false, run_page_server },
	{ RPC_CPUINFO_DUMP, true, true, run_cpuinfo },
	{ RPC_CPUINFO_CHECK, true, true, run_cpuinfo },
	{ RPC_FEATURE_CHECK, true, true, run_feature_check },
	{ RPC_VERSION, true, true, run_version },
	{ RPC_WAIT_PID, false, false, run_wait_pid },
	{ RPC_PAGE_SERVER_CHLD, true, false, run_page_server },
	{ RPC_SINGLE_PRE_DUMP, false, true, run_pre_dump },
};

/* A request that nothing can be done for, by its own type or as "no such type". */
static int turn_away(const struct rpc_session *s, enum rpc_type type, int code, const char *why)
{
	struct rpc_answer a = { .type = type, .cr_errno = code };
	struct err err = ERR_INIT;

	err_usage(&err, "%s", why);
	say_failed(s, &a, &err);
	return BROKEN;
}

/* Images say whose tasks they hold and which files they open: only root decides on that. */
#define NOT_TRUSTED "only root may ask for this"

static int handle(const struct rpc_session *s, const struct rpc_request *req)
{
	for (size_t i = 0; i < sizeof(handlers) / sizeof(handlers[0]); i++) {
		if (handlers[i].type != req->type)
			continue;
		if (req->keep_open && !handlers[i].can_stay)
			return BROKEN;
		if (!handlers[i].for_all && !s->peer.trusted)
			return turn_away(s, handlers[i].type, EPERM, NOT_TRUSTED);
		return handlers[i].run(s, req);
	}
	return turn_away(s, RPC_EMPTY, 0, "no such request");
}

int rpc_serve(int sk, bool service, bool no_default_config)
{
	struct rpc_session s = { .sk = sk,
				 .service = service,
				 .no_default_config = no_default_config };
	struct err err = ERR_INIT;
	struct rpc_request req;
	bool more = true;
	int r = rpc_peer_open(&s.peer, sk, &err), status = BROKEN;

	fcntl(sk, F_SETFD, FD_CLOEXEC);
	while (r == 0 && more) {
		r = rpc_receive(sk, &req, &err);
		if (r != 0)
			break;
		status = handle(&s, &req);
		more = status == DONE && req.keep_open;
		rpc_request_done(&req);
		if (more)
			status = BROKEN; /* until the next request is served */
	}
	if (r < 0)
		fprintf(stderr, "Error (%s:%d): %s\n", err.file, err.line, err.text);
	rpc_peer_close(&s.peer);
	return status;
}
