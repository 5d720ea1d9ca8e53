/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Kernel asynchronous I/O: a ring with events that nobody has fetched yet. */
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "tests/workloads/groups.h"

static struct {
	aio_context_t ring, empty;
	int fd;
	uint64_t made, fetched; /* requests are numbered */
	uint32_t nr;
} aio;

/* The header of a ring: the kernel's number of it, size, head, tail. */
static uint32_t header(aio_context_t ring, int word)
{
	return ((volatile uint32_t *)ring)[word];
}

static int submit(void)
{
	unsigned char bytes[16];
	struct iocb cb = {
		.aio_data = aio.made,
		.aio_lio_opcode = IOCB_CMD_PWRITE,
		.aio_fildes = (uint32_t)aio.fd,
		.aio_buf = (uintptr_t)bytes,
		.aio_nbytes = 1 + aio.made % sizeof(bytes),
		.aio_offset = (int64_t)(aio.made * sizeof(bytes) % 4096),
	};
	struct iocb *list[] = { &cb };

	pattern_fill(bytes, sizeof(bytes), aio.made);
	if (syscall(SYS_io_submit, aio.ring, 1, list) != 1)
		return fail_errno("io_submit");
	aio.made++;
	return WL_OK;
}

static int fetch(void)
{
	struct timespec none = { 0, 0 };
	struct io_event ev;

	if (syscall(SYS_io_getevents, aio.ring, 1, 1, &ev, &none) != 1)
		return fail_errno("io_getevents");
	if (ev.data != aio.fetched || ev.res != (int64_t)(1 + aio.fetched % 16) || ev.res2)
		return fail("event %llu has data %llu and result %lld",
			    (unsigned long long)aio.fetched, (unsigned long long)ev.data,
			    (long long)ev.res);
	aio.fetched++;
	return WL_OK;
}

/* Around the ring once, so that the tail lies before the head; half of it is not fetched. */
static int aio_setup(void)
{
	int r = WL_OK;

	if (syscall(SYS_io_setup, 100, &aio.ring) < 0 || syscall(SYS_io_setup, 5, &aio.empty) < 0)
		return skip("io_setup: %s", strerror(errno));
	aio.fd = file_make("aio", O_RDWR | O_TRUNC, 8192, 1);
	if (aio.fd < 0)
		return fail_errno("creating a file");
	aio.nr = header(aio.ring, 1);
	while (aio.made < aio.nr + 20 && r == WL_OK) {
		r = submit();
		if (r == WL_OK && aio.made - aio.fetched > aio.nr / 2)
			r = fetch();
	}
	return r;
}

/* Two old events go and two new ones come, so that the ring turns with every verification. */
static int aio_verify(void)
{
	uint64_t waiting = aio.made - aio.fetched;
	int i, r = WL_OK;

	if (header(aio.ring, 1) != aio.nr || header(aio.ring, 2) != aio.fetched % aio.nr ||
	    header(aio.ring, 3) != aio.made % aio.nr)
		return fail("the ring has %u places, head %u and tail %u", header(aio.ring, 1),
			    header(aio.ring, 2), header(aio.ring, 3));
	if (header(aio.empty, 2) || header(aio.empty, 3))
		return fail("the empty ring is not empty any more");
	for (i = 0; i < 2 && r == WL_OK; i++) {
		r = fetch();
		if (r == WL_OK)
			r = submit();
	}
	return r != WL_OK || aio.made - aio.fetched == waiting ? r : fail("events got lost");
}

static void aio_teardown(void)
{
	syscall(SYS_io_destroy, aio.ring);
	syscall(SYS_io_destroy, aio.empty);
}

const struct workload aio_workloads[] = {
	{ "aio", "rings of kernel asynchronous I/O, with events not fetched yet", NULL, aio_setup,
	  aio_verify, NULL, 0, aio_teardown },
	{ 0 },
};
