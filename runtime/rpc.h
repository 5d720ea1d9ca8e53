/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Serving CRIU's RPC: one connection, over `swrk` (a socket that the client made before it started
 * us) or over `service` (a socket that it connected to). Session, peer and options of a request.
 */
#pragma once

#include <sys/types.h>

#include "engine/rpc/rpc.h"
#include "runtime/options.h"
#include "runtime/stages.h"

/* Who is at the other end. */
struct rpc_peer {
	pid_t pid; /* 0: it is not of our pid namespace or above */
	uid_t uid;
	gid_t gid;
	int pidfd;     /* -1: there is none */
	bool trusted;  /* root, or who we run as ourselves */
	gid_t *groups; /* owned */
	size_t n_groups;
};

/* Asks the kernel who connected. 0 or a negative errno with err filled. */
int rpc_peer_open(struct rpc_peer *ret, int sk, struct err *err)
	__attribute__((warn_unused_result));
void rpc_peer_close(struct rpc_peer *peer);

/*
 * From here on files are opened with the rights of a peer that is not trusted, until
 * rpc_peer_leave(). Nothing happens for one that is.
 */
int rpc_peer_enter(const struct rpc_peer *peer, struct err *err)
	__attribute__((warn_unused_result));
void rpc_peer_leave(const struct rpc_peer *peer);

/* Takes what the peer has as descriptor fd; a directory is opened again. A descriptor or a negative
 * errno with err filled.
 */
int rpc_peer_reopen(const struct rpc_peer *peer, int fd, int flags, const char *what,
		    struct err *err) __attribute__((warn_unused_result));

struct rpc_session {
	int sk;
	bool service; /* the client connected; else we are its child */
	bool no_default_config;
	struct rpc_peer peer;
};

/* Everything that one operation needs. cli holds the options of all sources. */
struct rpc_setup {
	const struct rpc_session *session;
	struct cli cli;
	bool notify;	  /* the client is told the stages */
	bool page_server; /* memory goes to a page server */
	bool log_to_stderr, has_log_file;
	const char *config_file;
	VEC(const char *) command;
	int images_fd, work_fd;
	struct stages stages;
};

/*
 * Takes the options of a request on top of the configuration files, and the file that it names on
 * top of them; refuses by name what is not supported; makes the operation tell its stages. 0 or a
 * negative errno with err filled; rpc_setup_done() in either case.
 */
int rpc_setup_init(struct rpc_setup *s, const struct rpc_session *session,
		   const struct rpc_request *req, enum verb verb, struct err *err)
	__attribute__((warn_unused_result));
void rpc_setup_done(struct rpc_setup *s);

/* One option of the request. */
int rpc_take_option(void *setup, const struct rpc_option *option, struct err *err);

/* ckpt_notify_fn, with the setup as arg. */
int rpc_at_stage(void *setup, const char *stage, pid_t pid, int fd, struct err *err);

/* Serves the connection to its end. The exit status of the process. */
int rpc_serve(int sk, bool service, bool no_default_config);
