/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of the library share. */
#pragma once

#include <sys/types.h>

#include "engine/libcriu/criu.h"

#define DEFAULT_BINARY "criu"
#define DEFAULT_ADDRESS "./criu_service.socket"

struct criu_opts {
	CriuOpts *rpc; /* as if unpacked: every part of it is malloc'ed */
	int (*notify)(char *action, criu_notify_arg_t na);
	enum criu_service_comm comm;
	char *service; /* address or binary; NULL: CRIU_COMM_FD */
	int fd;
};

/* The set of the functions that name none, made at its first use. NULL: no memory. */
criu_opts *libcriu_own_set(void);

/* A way to an engine. */
struct connection {
	int fd;
	pid_t engine; /* our child, to be waited for; 0: it is none */
};

/*
 * Connects by the means that the set names. detached: an engine that is started is no child of
 * ours, because it will dump us. 0 or -errno.
 */
int libcriu_connect(const criu_opts *opts, bool detached, struct connection *ret);

/* Starts `binary swrk`, whatever the set says. 0 or -errno. */
int libcriu_start(const char *binary, bool detached, struct connection *ret);

/* Waits for an engine that we have started. */
void libcriu_reap(struct connection *c);

/* Closes the connection, then waits for an engine that we have started. */
void libcriu_disconnect(struct connection *c);
