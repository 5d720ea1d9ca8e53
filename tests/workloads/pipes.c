/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pipes and named pipes with unread data in them. The data is looked at with tee(2), so it stays
 * where it is; then the pipe is emptied and filled again to see that both ends are connected.
 */
#include "tests/workloads/pipes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/workloads/groups.h"

/* What must be in a pipe, without taking it out. */
static int peek_pipe(int fd, size_t size, uint64_t seed, const char *what)
{
	static unsigned char data[1 << 20];
	int copy[2], queued = -1;
	ssize_t n = 0;

	if (ioctl(fd, FIONREAD, &queued) < 0 || queued != (int)size)
		return fail("%s: %d bytes are queued, not %zu", what, queued, size);
	if (size == 0)
		return WL_OK;
	if (pipe2(copy, O_CLOEXEC | O_NONBLOCK) < 0)
		return fail_errno("pipe2");
	fcntl(copy[1], F_SETPIPE_SZ, fcntl(fd, F_GETPIPE_SZ));
	if (tee(fd, copy[1], size, SPLICE_F_NONBLOCK) != (ssize_t)size)
		n = -1;
	for (size_t at = 0; n >= 0 && at < size; at += (size_t)n)
		n = read(copy[0], data + at, size - at);
	close(copy[0]);
	close(copy[1]);
	return n < 0 ? fail_errno("%s: looking at the data", what)
		     : pattern_check(data, size, seed, what);
}

static int put(int fd, size_t size, uint64_t seed)
{
	static unsigned char data[1 << 20];

	pattern_fill(data, size, seed);
	return write(fd, data, size) == (ssize_t)size ? WL_OK
						      : fail_errno("writing %zu bytes", size);
}

static int take(int fd, size_t size, uint64_t seed, const char *what)
{
	static unsigned char data[1 << 20];
	size_t at = 0;

	while (at < size) {
		ssize_t n = read(fd, data + at, size - at);

		if (n <= 0)
			return fail_errno("%s: reading after %zu of %zu bytes", what, at, size);
		at += (size_t)n;
	}
	return pattern_check(data, size, seed, what);
}

/* ---- pipes ---- */

static struct {
	int own[2];	 /* both ends here; 70001 bytes in a pipe made larger */
	int to_child[2]; /* 5000 bytes that the child has not read */
	int to_parent[2];
	int packets[2]; /* O_DIRECT: each write is a packet */
	int empty[2];
	int no_writer; /* the read end of a pipe whose writers are gone, with 33 bytes left */
	struct station *station;
} pipes;

/* The child reads its data and puts the same back, so the next verification finds it again. */
static int pipes_child_verify(void *arg)
{
	int r = peek_pipe(pipes.to_child[0], 5000, 21, "pipe to the child");

	if (r == WL_OK)
		r = take(pipes.to_child[0], 5000, 21, "pipe to the child");
	if (r == WL_OK)
		r = put(pipes.to_parent[1], 1000, 23);
	return r;
}

static void pipes_child(void *arg)
{
	close(pipes.to_child[1]);
	close(pipes.to_parent[0]);
	close(pipes.own[0]);
	close(pipes.own[1]);
	station_serve(pipes.station, pipes_child_verify, NULL);
}

/* CRIU refuses packet pipes: its images have no place for the bounds of packets. */
static bool packets(void)
{
	return param("packets", 0);
}

static int packets_send(void)
{
	if (!packets())
		return WL_OK;
	if (put(pipes.packets[1], 100, 24) != WL_OK)
		return WL_FAIL;
	return put(pipes.packets[1], 200, 25);
}

static int pipes_make(void)
{
	int orphan[2];

	if (packets() && pipe2(pipes.packets, O_DIRECT | O_CLOEXEC) < 0)
		return fail_errno("pipe2");
	if (pipe2(pipes.own, O_CLOEXEC | O_NONBLOCK) < 0 || pipe(pipes.to_child) < 0 ||
	    pipe(pipes.to_parent) < 0 || pipe2(pipes.empty, O_NONBLOCK) < 0 || pipe(orphan) < 0)
		return fail_errno("pipe");
	if (fcntl(pipes.own[1], F_SETPIPE_SZ, 131072) != 131072)
		return fail_errno("F_SETPIPE_SZ");
	if (put(orphan[1], 33, 26) != WL_OK)
		return WL_FAIL;
	close(orphan[1]);
	pipes.no_writer = orphan[0];
	return WL_OK;
}

int pipes_setup(void)
{
	pipes.station = stations_new(1);
	if (!pipes.station || pipes_make() != WL_OK)
		return fail("making pipes");
	if (child_start(pipes_child, NULL) < 0)
		return fail_errno("fork");
	close(pipes.to_child[0]);
	close(pipes.to_parent[1]);
	if (put(pipes.own[1], 70001, 20) != WL_OK || put(pipes.to_child[1], 5000, 21) != WL_OK)
		return WL_FAIL;
	return packets_send();
}

static int pipes_verify_flags(void)
{
	int size = fcntl(pipes.own[0], F_GETPIPE_SZ);

	if (size != 131072)
		return fail("the pipe's size is %d, was 131072", size);
	if (!(fcntl(pipes.own[0], F_GETFL) & O_NONBLOCK) ||
	    !(fcntl(pipes.own[0], F_GETFD) & FD_CLOEXEC))
		return fail("the pipe has lost O_NONBLOCK or O_CLOEXEC");
	if ((fcntl(pipes.to_child[1], F_GETFL) & (O_NONBLOCK | O_ACCMODE)) != O_WRONLY)
		return fail("the pipe to the child has wrong flags");
	if (packets() && !(fcntl(pipes.packets[1], F_GETFL) & O_DIRECT))
		return fail("the packet pipe has lost O_DIRECT");
	return WL_OK;
}

/* One read gives one packet, however much room there is. */
static int pipes_verify_packets(void)
{
	unsigned char data[500];

	for (int i = 0; i < 2 && packets(); i++) {
		size_t size = i ? 200 : 100;
		ssize_t n = read(pipes.packets[0], data, sizeof(data));

		if (n != (ssize_t)size)
			return fail("packet %d has %zd bytes, not %zu", i, n, size);
		if (pattern_check(data, size, 24 + (uint64_t)i, "packet") != WL_OK)
			return WL_FAIL;
	}
	return packets_send();
}

static int pipes_verify_ends(void)
{
	unsigned char byte;

	if (read(pipes.empty[0], &byte, 1) != -1 || errno != EAGAIN)
		return fail("an empty pipe is not empty");
	if (peek_pipe(pipes.no_writer, 33, 26, "pipe without writers") != WL_OK)
		return WL_FAIL;
	/* Emptied, such a pipe is at its end; a writer that came from nowhere would block this. */
	int flags = fcntl(pipes.no_writer, F_GETFL);
	unsigned char data[33];

	fcntl(pipes.no_writer, F_SETFL, flags | O_NONBLOCK);
	if (read(pipes.no_writer, data, 33) != 33 || read(pipes.no_writer, &byte, 1) != 0)
		return fail("a pipe without writers is not at its end");
	/* Its data can come back only through a new end, which then is closed again. */
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", pipes.no_writer);
	int end = open(path, O_WRONLY | O_CLOEXEC);
	int r = end < 0 ? fail_errno("reopening a pipe") : put(end, 33, 26);

	if (end >= 0)
		close(end);
	fcntl(pipes.no_writer, F_SETFL, flags);
	return r;
}

int pipes_verify(void)
{
	int r = pipes_verify_flags();

	if (r == WL_OK)
		r = peek_pipe(pipes.own[0], 70001, 20, "pipe of one process");
	if (r == WL_OK)
		r = take(pipes.own[0], 70001, 20, "pipe of one process");
	if (r == WL_OK)
		r = put(pipes.own[1], 70001, 20);
	if (r == WL_OK)
		r = pipes_verify_packets();
	if (r == WL_OK)
		r = pipes_verify_ends();
	if (r == WL_OK)
		r = station_ask(pipes.station, "child with pipes");
	if (r == WL_OK)
		r = take(pipes.to_parent[0], 1000, 23, "pipe from the child");
	if (r == WL_OK)
		r = put(pipes.to_child[1], 5000, 21);
	return r;
}

/* ---- fifo: a named pipe, opened for reading, for writing and for both ---- */

static struct {
	int reader, writer, both;
	struct stat st;
} fifo;

static int fifo_setup(void)
{
	if (mkfifo(path_in("fifo"), 0640) < 0 || mkfifo(path_in("fifo-both"), 0600) < 0)
		return fail_errno("mkfifo");
	fifo.reader = open(path_in("fifo"), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	fifo.writer = open(path_in("fifo"), O_WRONLY | O_CLOEXEC);
	fifo.both = open(path_in("fifo-both"), O_RDWR | O_CLOEXEC);
	if (fifo.reader < 0 || fifo.writer < 0 || fifo.both < 0)
		return fail_errno("opening named pipes");
	if (put(fifo.writer, 3000, 30) != WL_OK || put(fifo.both, 4000, 31) != WL_OK)
		return WL_FAIL;
	return fstat(fifo.reader, &fifo.st) < 0 ? fail_errno("fstat") : WL_OK;
}

static int fifo_verify(void)
{
	struct stat st;
	int r = peek_pipe(fifo.reader, 3000, 30, "named pipe");

	if (r == WL_OK)
		r = take(fifo.reader, 3000, 30, "named pipe");
	if (r == WL_OK)
		r = put(fifo.writer, 3000, 30);
	if (r == WL_OK)
		r = peek_pipe(fifo.both, 4000, 31, "named pipe open for both");
	if (r == WL_OK)
		r = take(fifo.both, 4000, 31, "named pipe open for both");
	if (r == WL_OK)
		r = put(fifo.both, 4000, 31);
	if (r != WL_OK)
		return r;
	if (fstat(fifo.writer, &st) < 0 || !S_ISFIFO(st.st_mode) || st.st_ino != fifo.st.st_ino)
		return fail("the named pipe is another file");
	if (stat(path_in("fifo"), &st) < 0 || st.st_ino != fifo.st.st_ino)
		return fail("the path leads to another file than the descriptor");
	if (!(fcntl(fifo.reader, F_GETFL) & O_NONBLOCK))
		return fail("the named pipe has lost O_NONBLOCK");
	return WL_OK;
}

static struct workload_param pipe_params[] = {
	{ "packets", 0, "1: a pipe in packet mode too" },
	{ 0 },
};

const struct workload pipe_workloads[] = {
	{ "pipes", "pipes with unread data, within a process and to a child", pipe_params,
	  pipes_setup, pipes_verify },
	{ "fifo", "named pipes with unread data", NULL, fifo_setup, fifo_verify },
	{ 0 },
};
