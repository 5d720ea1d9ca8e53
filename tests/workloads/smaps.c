/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the kernel says about a mapping in /proc/self/smaps. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/workloads/memory.h"

/* Calls line() for every line of smaps that belongs to the mapping of address, the header first. */
static void smaps_lines(const void *address, void (*line)(const char *text, void *arg), void *arg)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	unsigned long start, end, at = (unsigned long)address;
	bool inside = false;
	char text[4096];

	while (f && fgets(text, sizeof(text), f)) {
		if (sscanf(text, "%lx-%lx ", &start, &end) == 2)
			inside = at >= start && at < end;
		if (inside)
			line(text, arg);
	}
	if (f)
		fclose(f);
}

struct smaps_query {
	const char *want;
	long value;
	char perms[8];
};

static void on_field(const char *text, void *arg)
{
	struct smaps_query *q = arg;
	size_t n = strlen(q->want);

	if (!strncmp(text, q->want, n) && text[n] == ':')
		q->value = strtol(text + n + 1, NULL, 10);
}

static void on_flags(const char *text, void *arg)
{
	struct smaps_query *q = arg;

	if (!strncmp(text, "VmFlags:", 8) && strstr(text, q->want))
		q->value = 1;
}

static void on_header(const char *text, void *arg)
{
	struct smaps_query *q = arg;

	sscanf(text, "%*x-%*x %7s", q->perms);
}

long smaps_field(const void *address, const char *field)
{
	struct smaps_query q = { .want = field, .value = -1 };

	smaps_lines(address, on_field, &q);
	return q.value;
}

bool smaps_flag(const void *address, const char *flag)
{
	char spaced[8];
	struct smaps_query q = { .want = spaced };

	snprintf(spaced, sizeof(spaced), " %s", flag);
	smaps_lines(address, on_flags, &q);
	return q.value == 1;
}

const char *maps_perms(const void *address)
{
	static struct smaps_query q;

	q.perms[0] = '\0';
	smaps_lines(address, on_header, &q);
	return q.perms;
}
