/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/base/buf.h"

#include <errno.h>

#include "tests/lib/test.h"

TEST(append_grows_and_terminates)
{
	cleanup_buf struct buf b = BUF_INIT;

	for (int i = 0; i < 1000; i++)
		check_int(buf_append(&b, "0123456789", 10), 0);
	check_int(b.len, 10000);
	check(b.cap > b.len);
	check_int(b.data[b.len], 0);
	check_mem(b.data + 9990, "0123456789", 10);
	check_int(strlen(b.data), 10000);
}

TEST(append_keeps_zero_bytes)
{
	cleanup_buf struct buf b = BUF_INIT;

	check_int(buf_append(&b, "a\0b", 3), 0);
	check_int(b.len, 3);
	check_mem(b.data, "a\0b", 4);
}

TEST(append_of_nothing_makes_a_string)
{
	cleanup_buf struct buf b = BUF_INIT;

	check_int(buf_append(&b, NULL, 0), 0);
	check_int(b.len, 0);
	check_str(b.data, "");
}

TEST(printf_appends)
{
	cleanup_buf struct buf b = BUF_INIT;
	char expected[700];

	check_int(buf_printf(&b, "%s=%d", "x", 7), 0);
	check_str(b.data, "x=7");
	memset(expected, ' ', sizeof(expected));
	expected[599] = 'y';
	expected[600] = '\0';
	check_int(buf_printf(&b, "%600s", "y"), 0);
	check_str(b.data + 3, expected);
	check_int(b.len, 603);
}

TEST(reserve_refuses_what_cannot_be)
{
	cleanup_buf struct buf b = BUF_INIT;

	check_int(buf_append(&b, "keep", 4), 0);
	check_int(buf_reserve(&b, SIZE_MAX), -ENOMEM);
	check_int(buf_reserve(&b, SIZE_MAX - 4), -ENOMEM);
	check_int(buf_reserve(&b, SIZE_MAX / 2 + 1), -ENOMEM);
	check_str(b.data, "keep");
	check_int(b.len, 4);
}

TEST(reserve_leaves_room)
{
	cleanup_buf struct buf b = BUF_INIT;

	check_int(buf_reserve(&b, 5000), 0);
	check(b.cap >= 5001);
	check_int(b.len, 0);
	check_str(b.data, "");
}

TEST(done_leaves_it_usable)
{
	struct buf b = BUF_INIT;

	check_int(buf_append(&b, "x", 1), 0);
	buf_done(&b);
	check(!b.data);
	check_int(b.len, 0);
	buf_done(&b);
	check_int(buf_append(&b, "y", 1), 0);
	check_str(b.data, "y");
	buf_done(&b);
}

TEST_MAIN()
