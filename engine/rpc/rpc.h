/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The messages of CRIU's RPC, as plain C: one request or answer a packet of a SOCK_SEQPACKET
 * socket. What the options of a request mean is told by the table of options of the commands; here
 * they are numbers of fields with words.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "engine/base/arena.h"
#include "engine/base/err.h"

/* A packet may not be larger; what a client sends is not trusted. */
#define RPC_MAX_BYTES (1u << 20)

/* With the numbers of the protocol. */
enum rpc_type {
	RPC_EMPTY = 0,
	RPC_DUMP = 1,
	RPC_RESTORE = 2,
	RPC_CHECK = 3,
	RPC_PRE_DUMP = 4,
	RPC_PAGE_SERVER = 5,
	RPC_NOTIFY = 6,
	RPC_CPUINFO_DUMP = 7,
	RPC_CPUINFO_CHECK = 8,
	RPC_FEATURE_CHECK = 9,
	RPC_VERSION = 10,
	RPC_WAIT_PID = 11,
	RPC_PAGE_SERVER_CHLD = 12,
	RPC_SINGLE_PRE_DUMP = 13,
};

struct rpc_features {
	bool mem_track, lazy_pages, pidfd_store;
};

/* type may be a number that is not known: the client is newer than we are. */
struct rpc_request {
	unsigned int type;
	bool keep_open, notify_success;
	bool has_options, has_features;
	struct rpc_features features; /* those that are asked for */
	pid_t pid;
	struct CriuReq *message; /* the rest of it */
};

/*
 * One option of a request. A field of one value has one word; numbers are in decimal, flags "true"
 * or "false". A field that is a message has a word for each of its fields, in the order of their
 * numbers, NULL for those that are not set. A repeated field comes once for each of its values.
 */
struct rpc_option {
	unsigned int field;
	size_t n;
	const char *const *words;
};

typedef int (*rpc_option_fn)(void *arg, const struct rpc_option *option, struct err *err);

/* What is sent back. Fields that do not belong to the type are left out. */
struct rpc_answer {
	enum rpc_type type;
	bool success;
	int cr_errno;		      /* positive, 0: none */
	const char *message;	      /* text of the first error, or NULL */
	pid_t pid;		      /* RESTORE: the root task; PAGE_SERVER: the server */
	int port;		      /* PAGE_SERVER */
	int status;		      /* WAIT_PID */
	const char *stage;	      /* NOTIFY */
	pid_t stage_pid;	      /* NOTIFY: 0: none */
	struct rpc_features features; /* FEATURE_CHECK */
};

enum { RPC_END = 1 };

/*
 * Waits for the next request. 0, RPC_END when the other end was closed, or a negative errno with
 * err filled. Descriptors that come with it are dropped. ret is to be freed if it is 0.
 */
int rpc_receive(int sk, struct rpc_request *ret, struct err *err)
	__attribute__((warn_unused_result));

/* Reads a request of these bytes. 0 or a negative errno with err filled. */
int rpc_parse(const void *data, size_t len, struct rpc_request *ret, struct err *err)
	__attribute__((warn_unused_result));

void rpc_request_done(struct rpc_request *req);

/*
 * Calls fn for every option of the request in the order of their numbers. Words are of the arena. 0
 * or the first negative result.
 */
int rpc_each_option(const struct rpc_request *req, struct arena *arena, rpc_option_fn fn, void *arg,
		    struct err *err) __attribute__((warn_unused_result));

/* Sends an answer, with a descriptor if fd is not negative. 0 or a negative errno with err filled.
 */
int rpc_send(int sk, const struct rpc_answer *answer, int fd, struct err *err)
	__attribute__((warn_unused_result));
