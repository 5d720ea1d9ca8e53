/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Calls of which the kernel keeps who made them: who joined two sockets, who listens, who connected
 * (SO_PEERCRED and its kin). The root builder makes the sockets, and has such a call made by the
 * builder of the right task, with the right ids. In place of a process that has ended, one with its
 * number makes the call and ends.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct restore;

/* Who; by the numbers inside. In memory that was there before the first fork. */
struct errand_cred {
	pid_t pid;
	uint32_t uid, gid;
	size_t n_groups;
	const uint32_t *groups;
};

enum errand_call { ERRAND_PAIR, ERRAND_LISTEN, ERRAND_CONNECT };

struct errand {
	enum errand_call call;
	int type;    /* of a pair */
	int backlog; /* to listen with */
	int fd;	     /* the socket that listens or connects */
	int path_fd; /* where it connects to, by an O_PATH descriptor; or -1: to addr */
	uint8_t addr[128];
	size_t addr_len;
	int pair[2]; /* the answer: close-on-exec */
};

/* Before the first fork: memory for the errands of n processes; and that one may be asked. */
int errands_init(struct restore *r, size_t n);
void errands_done(struct restore *r);
void errand_expect(struct restore *r, pid_t ns_pid);

/* In the root builder. cred NULL: nobody in particular. What the call gives: 0 or -errno. */
int errand_run(struct restore *r, const struct errand_cred *cred, struct errand *e);

/* In the root builder: there will be no more errands. */
void errands_end(struct restore *r);

/* In every other builder that is expected: runs errands until they end. */
struct restore_task;
void errands_serve(struct restore *r, const struct restore_task *self);

/*
 * In the root builder: runs fn in a process of that number that shares our descriptors, if the
 * number is free. ERRAND_TAKEN if not, else 0 and *ret has what fn gave, 0 or -errno.
 */
enum { ERRAND_TAKEN = 1 };
int errand_by_number(pid_t ns_pid, int (*fn)(void *arg), void *arg, int *ret);
