/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/base/err.h"

#include <errno.h>

#include "tests/lib/test.h"

TEST(origin_tells_where_and_what)
{
	struct err err = ERR_INIT;

	check_int(err_new(&err, ERR_UNSUPPORTED, -EOPNOTSUPP, "fd %d: %s", 9, "vhost"),
		  -EOPNOTSUPP);
	check_int(err.class, ERR_UNSUPPORTED);
	check_int(err.code, -EOPNOTSUPP);
	check_str(err.text, "fd 9: vhost");
	check_str(err.file, "test-err.c");
	check(err.line > 0);
	check_str(err.hint, "");
}

TEST(sys_names_the_errno)
{
	struct err err = ERR_INIT;

	check_int(err_sys(&err, -ENOENT, "open '%s'", "/x"), -ENOENT);
	check_str(err.text, "open '/x': No such file or directory");
	check_int(err.class, ERR_ENVIRONMENT);
	check_int(err_sys(&err, -99999, "odd"), -99999);
	check_str(err.text, "odd: unknown error");
}

TEST(origin_replaces_the_old_story)
{
	struct err err = ERR_INIT;

	err_new(&err, ERR_INTERNAL, -EIO, "first");
	err_hint(&err, "do something");
	err_image(&err, "second");
	check_str(err.text, "second");
	check_str(err.hint, "");
	check_int(err.code, -EBADMSG);
	check_int(err.class, ERR_IMAGE);
}

TEST(wrap_puts_frames_in_front)
{
	struct err err = ERR_INIT;
	int r = err_sys(&err, -EPERM, "setsockopt");

	r = err_wrap(&err, r, "fd %d", 9);
	r = err_wrap(&err, r, "task %d (%s)", 12, "nginx");
	check_int(r, -EPERM);
	check_str(err.text, "task 12 (nginx): fd 9: setsockopt: Operation not permitted");
	check_int(err.class, ERR_ENVIRONMENT);
}

TEST(wrap_of_nothing_is_our_bug)
{
	struct err err = ERR_INIT;

	check_int(err_wrap(&err, -EIO, "step"), -EIO);
	check_int(err.class, ERR_INTERNAL);
	check_int(err.code, -EIO);
}

TEST(wrap_keeps_the_frame_of_a_full_text)
{
	char big[ERR_TEXT_SIZE + 100];
	struct err err = ERR_INIT;

	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	err_new(&err, ERR_INTERNAL, -EIO, "%s", big);
	check_int(strlen(err.text), ERR_TEXT_SIZE - 1);
	for (int i = 0; i < 100; i++)
		err_wrap(&err, -EIO, "frame %d", i);
	check_int(strlen(err.text), ERR_TEXT_SIZE - 1);
	check_mem(err.text, "frame 99: frame 98: ", 20);
	err_wrap(&err, -EIO, "%s", big);
	check(strlen(err.text) < ERR_TEXT_SIZE);
	check_mem(err.text, "xxxx", 4);
}

TEST(innermost_hint_stays)
{
	struct err err = ERR_INIT;

	err_usage(&err, "bad");
	err_hint(&err, "inner %d", 1);
	err_hint(&err, "outer");
	check_str(err.hint, "inner 1");
}

TEST(every_class_has_a_name_and_its_own_status)
{
	for (int c = 0; c < ERR_CLASS_COUNT; c++) {
		struct err a = { .class = (enum err_class)c };

		check(err_class_name((enum err_class)c));
		for (int d = 0; d < c; d++) {
			struct err b = { .class = (enum err_class)d };

			check(err_exit_status(&a) != err_exit_status(&b));
			check(strcmp(err_class_name(a.class), err_class_name(b.class)));
		}
	}
	check_int(err_exit_status(&(struct err)ERR_INIT), 0);
}

TEST(copies_byte_for_byte)
{
	struct err a = ERR_INIT, b;

	err_refuse(&a, "no");
	err_hint(&a, "yes");
	memcpy(&b, &a, sizeof(b));
	memset(&a, 0xff, sizeof(a));
	check_str(b.text, "no");
	check_str(b.hint, "yes");
}

TEST_MAIN()
