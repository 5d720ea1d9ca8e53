/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * POSIX message queues with messages of several priorities: one with a name, one that has lost it,
 * and one with a name and without descriptors. Those with names are the IPC namespace's.
 */
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/workloads/groups.h"

enum { MESSAGES = 6, MESSAGE_MAX = 1024, ROOM = 9 };

static struct {
	char named[64], bare[64];
	mqd_t name_fd, nameless, writer;
	struct stat st; /* of the bare one */
} mqs;

/* Priorities 0, 1, 2, 0, 1, 2: the order out is not the order in. */
static size_t message_of(int queue, int i, char *data, unsigned int *ret_priority)
{
	size_t len = (size_t)(i * 97 + queue * 31 + 1);

	*ret_priority = (unsigned int)i % 3;
	pattern_fill(data, len, (uint64_t)(queue * MESSAGES + i));
	return len;
}

static int fill_queue(mqd_t fd, int queue)
{
	char data[MESSAGE_MAX];
	unsigned int priority;
	int i;

	for (i = 0; i < MESSAGES; i++) {
		size_t len = message_of(queue, i, data, &priority);

		if (mq_send(fd, data, len, priority) < 0)
			return fail_errno("sending a message");
	}
	return WL_OK;
}

/* Takes all out, in the right order, and puts them back. */
static int check_queue(mqd_t from, mqd_t to, int queue)
{
	static const int order[MESSAGES] = { 2, 5, 1, 4, 0, 3 };
	char data[MESSAGE_MAX], want[MESSAGE_MAX];
	struct mq_attr attr;
	unsigned int priority, wanted;
	int i;

	if (mq_getattr(from, &attr) < 0)
		return fail_errno("mq_getattr");
	if (attr.mq_maxmsg != ROOM || attr.mq_msgsize != MESSAGE_MAX || attr.mq_curmsgs != MESSAGES)
		return fail("queue %d has %ld messages of at most %ld, of at most %ld bytes", queue,
			    attr.mq_curmsgs, attr.mq_maxmsg, attr.mq_msgsize);
	for (i = 0; i < MESSAGES; i++) {
		size_t len = message_of(queue, order[i], want, &wanted);
		ssize_t n = mq_receive(from, data, sizeof(data), &priority);

		if (n != (ssize_t)len || priority != wanted || memcmp(data, want, len) != 0)
			return fail(
				"message %d of queue %d: %zd bytes, priority %u; it was %zu, %u", i,
				queue, n, priority, len, wanted);
	}
	return fill_queue(to, queue);
}

static mqd_t make_queue(const char *name, mode_t mode)
{
	struct mq_attr attr = { .mq_maxmsg = ROOM, .mq_msgsize = MESSAGE_MAX };
	mqd_t fd;

	mq_unlink(name);
	fd = mq_open(name, O_RDWR | O_NONBLOCK | O_CREAT | O_EXCL, mode, &attr);
	if (fd >= 0 && fchmod(fd, mode) < 0)
		return -1;
	return fd;
}

/* Once: a message into the empty queue ends it. */
static int listen_to(mqd_t fd)
{
	struct sigevent none = { .sigev_notify = SIGEV_NONE };

	if (param("notify", 0) && mq_notify(fd, &none) < 0 && errno != EBUSY)
		return fail_errno("mq_notify");
	return WL_OK;
}

static int mq_setup(void)
{
	char lost[64];
	mqd_t bare;

	snprintf(mqs.named, sizeof(mqs.named), "/ckpt-named-%d", (int)getpid());
	snprintf(mqs.bare, sizeof(mqs.bare), "/ckpt-bare-%d", (int)getpid());
	snprintf(lost, sizeof(lost), "/ckpt-lost-%d", (int)getpid());
	mqs.name_fd = make_queue(mqs.named, 0640);
	if (mqs.name_fd < 0)
		return errno == ENOSYS ? skip("a kernel without message queues")
				       : fail_errno("making a message queue");
	bare = make_queue(mqs.bare, 0604);
	mqs.nameless = make_queue(lost, 0600);
	mqs.writer = mq_open(lost, O_WRONLY);
	if (bare < 0 || mqs.nameless < 0 || mqs.writer < 0 || mq_unlink(lost) < 0)
		return fail_errno("making message queues");
	/* not everybody may give it to somebody else */
	if ((fchown(bare, 7, 8) < 0 && errno != EPERM) || fstat(bare, &mqs.st) < 0)
		return fail_errno("fchown");
	if (fill_queue(mqs.name_fd, 0) != WL_OK || fill_queue(bare, 1) != WL_OK ||
	    fill_queue(mqs.writer, 2) != WL_OK)
		return WL_FAIL;
	mq_close(bare);
	return listen_to(mqs.nameless);
}

static int mq_verify(void)
{
	mqd_t bare = mq_open(mqs.bare, O_RDWR | O_NONBLOCK), again;
	struct stat st;
	int r;

	if (bare < 0 || fstat(bare, &st) < 0)
		return fail_errno("opening the queue without descriptors");
	if (st.st_uid != mqs.st.st_uid || st.st_gid != mqs.st.st_gid ||
	    st.st_mode != mqs.st.st_mode)
		return fail("its owner is %u:%u, its mode %o", st.st_uid, st.st_gid, st.st_mode);
	r = check_queue(bare, bare, 1);
	mq_close(bare);
	if (r == WL_OK)
		r = check_queue(mqs.nameless, mqs.writer, 2);
	/* the name and the descriptor lead to the same one */
	again = mq_open(mqs.named, O_WRONLY);
	if (r == WL_OK && again < 0)
		return fail_errno("opening the queue with a name");
	if (r == WL_OK)
		r = check_queue(mqs.name_fd, again, 0);
	if (again >= 0)
		mq_close(again);
	return r == WL_OK ? listen_to(mqs.nameless) : r;
}

static void mq_teardown(void)
{
	mq_unlink(mqs.named);
	mq_unlink(mqs.bare);
}

static struct workload_param mq_params[] = {
	{ "notify", 0, "1: and waits to be notified of messages" }, { 0 }
};

const struct workload mqueue_workloads[] = {
	{ .name = "mqueue",
	  .help = "POSIX message queues, with a name and without",
	  .params = mq_params,
	  .setup = mq_setup,
	  .verify = mq_verify,
	  .teardown = mq_teardown },
	{ 0 },
};
