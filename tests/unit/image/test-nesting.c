/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Messages inside messages: real ones pass, hostile depths do not, nonsense is left to the decoder.
 */
#include <string.h>

#include "engine/image/nesting.h"
#include "proto/cgroup.pb-c.h"
#include "tests/lib/test.h"

enum { BUF = 1 << 20 };

/* A cgroup whose only child's only child ... `depth` levels; returns where it begins in buf. */
static size_t nest(uint8_t *buf, size_t depth)
{
	size_t at = BUF;

	for (size_t i = 0; i < depth; i++) {
		size_t len = BUF - at;
		uint8_t head[12];
		size_t n = 0;

		head[n++] = 2 << 3 | 2;
		do
			head[n++] = (uint8_t)((len & 0x7f) | (len > 0x7f ? 0x80 : 0));
		while (len >>= 7);
		at -= n;
		memcpy(buf + at, head, n);
	}
	return at;
}

TEST(depth_is_bounded)
{
	static uint8_t buf[BUF];
	const size_t depths[] = { 0, 1, NESTING_MAX, NESTING_MAX + 1, 50000 };

	for (size_t i = 0; i < sizeof(depths) / sizeof(depths[0]); i++) {
		size_t at = nest(buf, depths[i]);

		check_int(nesting_bounded(&cgroup_dir_entry__descriptor, buf + at, BUF - at),
			  depths[i] <= NESTING_MAX);
	}
}

TEST(nonsense_is_left_to_the_decoder)
{
	const uint8_t cut[] = { 2 << 3 | 2, 0x50, 0x01 }, endless[] = { 0xff, 0xff, 0xff },
		      group[] = { 2 << 3 | 3, 0 }, unknown[] = { 0x7a, 0x01, 0x00, 0x18, 0x05 };

	check(nesting_bounded(&cgroup_dir_entry__descriptor, cut, sizeof(cut)));
	check(nesting_bounded(&cgroup_dir_entry__descriptor, endless, sizeof(endless)));
	check(nesting_bounded(&cgroup_dir_entry__descriptor, group, sizeof(group)));
	check(nesting_bounded(&cgroup_dir_entry__descriptor, unknown, sizeof(unknown)));
}

TEST_MAIN()
