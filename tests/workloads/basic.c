/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The smallest workloads: what must survive for anything to survive. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/workloads/groups.h"

/* ---- idle: data, bss, heap and stack of one process ---- */

static struct {
	uint64_t in_data;
	unsigned int verified;
	unsigned char *heap;
	size_t heap_size;
} idle = { .in_data = 0x1122334455667788 };

static unsigned char idle_bss[65536];

static int idle_setup(void)
{
	idle.heap_size = 100001;
	idle.heap = malloc(idle.heap_size);
	if (!idle.heap)
		return fail("out of memory");
	pattern_fill(idle.heap, idle.heap_size, 1);
	pattern_fill(idle_bss, sizeof(idle_bss), 2);
	return WL_OK;
}

static int idle_verify(void)
{
	int r = pattern_check(idle.heap, idle.heap_size, 1 + idle.verified, "heap");

	if (r == WL_OK)
		r = pattern_check(idle_bss, sizeof(idle_bss), 2 + idle.verified, "bss");
	if (r == WL_OK && idle.in_data != UINT64_C(0x1122334455667788) + idle.verified)
		r = fail("data segment: 0x%llx after %u verifications",
			 (unsigned long long)idle.in_data, idle.verified);
	if (r != WL_OK)
		return r;
	/* New contents each time, so that a restore of an older image is seen. */
	idle.verified++;
	idle.in_data++;
	pattern_fill(idle.heap, idle.heap_size, 1 + idle.verified);
	pattern_fill(idle_bss, sizeof(idle_bss), 2 + idle.verified);
	return WL_OK;
}

/* ---- counter: a number in a file that only grows ---- */

static struct workload_param counter_params[] = {
	{ "interval_ms", 50, "time between two numbers" },
	{ 0 },
};

static struct {
	int fd;
	unsigned long long value, at_last_verify;
} counter;

static int counter_write(void)
{
	char text[32];
	int n = snprintf(text, sizeof(text), "%020llu\n", counter.value);

	if (pwrite(counter.fd, text, (size_t)n, 0) != n)
		return fail_errno("writing the counter");
	return WL_OK;
}

static int counter_read(unsigned long long *ret)
{
	char text[32] = "";

	if (pread(counter.fd, text, sizeof(text) - 1, 0) != 21 || text[20] != '\n')
		return fail("the counter's file holds '%.31s'", text);
	*ret = strtoull(text, NULL, 10);
	return WL_OK;
}

/* Each number is the one in the file plus one: a file that went back or was replaced is seen. */
static int counter_step(void)
{
	unsigned long long in_file = 0;

	if (counter_read(&in_file) != WL_OK)
		return WL_FAIL;
	if (in_file != counter.value)
		return fail("the file says %llu, memory %llu", in_file, counter.value);
	counter.value++;
	return counter_write();
}

/* The frame ticks at this pace; a longer interval skips ticks. */
enum { COUNTER_TICK_MS = 10 };

static int counter_tick(void)
{
	static long last;
	long now = monotonic_ms();

	/* The clock may have jumped back if another machine goes on with this. */
	if (now >= last && now - last < param("interval_ms", 50))
		return WL_OK;
	last = now;
	return counter_step();
}

static int counter_setup(void)
{
	counter.fd = file_make("counter", O_RDWR | O_TRUNC, 0, 0);
	if (counter.fd < 0)
		return fail_errno("creating the counter's file");
	return counter_write();
}

static int counter_verify(void)
{
	int r = counter_step();

	if (r == WL_OK && counter.value <= counter.at_last_verify)
		r = fail("the counter went from %llu to %llu", counter.at_last_verify,
			 counter.value);
	counter.at_last_verify = counter.value;
	return r;
}

const struct workload basic_workloads[] = {
	{ "idle", "one process with data, bss and heap", NULL, idle_setup, idle_verify },
	{ "counter", "writes a growing number to DIR/counter", counter_params, counter_setup,
	  counter_verify, counter_tick, COUNTER_TICK_MS },
	{ 0 },
};
