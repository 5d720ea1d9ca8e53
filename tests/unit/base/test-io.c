/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "tests/lib/test.h"

/* A directory of its own for each test; gone when the descriptor's owner removes its files. */
static int temp_dir(char *path, size_t size)
{
	snprintf(path, size, "/tmp/test-io.XXXXXX");
	if (!mkdtemp(path))
		return -errno;
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void put(int dir, const char *name, const char *text)
{
	cleanup_fd int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	check_int(io_write_all(fd, text, strlen(text)), 0);
}

TEST(reads_whole_files)
{
	cleanup_buf struct buf b = BUF_INIT;
	char path[64], big[20001];
	cleanup_fd int dir = temp_dir(path, sizeof(path));

	if (!check(dir >= 0))
		return;
	memset(big, 'q', 20000);
	big[20000] = '\0';
	put(dir, "f", big);
	check_int(buf_append(&b, "head ", 5), 0);
	check_int(io_read_file(dir, "f", &b), 0);
	check_int(b.len, 20005);
	check_mem(b.data, "head qqq", 8);
	check_int(b.data[b.len], 0);
	check_int(io_read_file(dir, "none", &b), -ENOENT);
	check_int(b.len, 20005);
	unlinkat(dir, "f", 0);
	rmdir(path);
}

TEST(reads_files_that_have_no_size)
{
	cleanup_buf struct buf b = BUF_INIT;

	check_int(io_read_file(AT_FDCWD, "/proc/self/maps", &b), 0);
	check(b.len > 0);
	check_int(io_read_fd(-1, &b), -EBADF);
}

TEST(reads_numbers)
{
	static const struct {
		const char *text;
		int r;
		int64_t v;
	} cases[] = {
		{ "12\n", 0, 12 },
		{ "-1", 0, -1 },
		{ "9223372036854775807\n", 0, INT64_MAX },
		{ "-9223372036854775808\n", 0, INT64_MIN },
		{ "9223372036854775808\n", -EINVAL, 0 },
		{ "", -EINVAL, 0 },
		{ "\n", -EINVAL, 0 },
		{ "max\n", -EINVAL, 0 },
		{ "12 13\n", -EINVAL, 0 },
		{ "0x10\n", -EINVAL, 0 },
	};
	char path[64];
	cleanup_fd int dir = temp_dir(path, sizeof(path));

	if (!check(dir >= 0))
		return;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int64_t v = 77;

		put(dir, "n", cases[i].text);
		if (!check_int(io_read_int(dir, "n", &v), cases[i].r))
			printf("# case %zu\n", i);
		check_int(v, cases[i].r ? 77 : cases[i].v);
	}
	unlinkat(dir, "n", 0);
	rmdir(path);
}

TEST(writes_existing_files_only)
{
	cleanup_buf struct buf b = BUF_INIT;
	char path[64];
	cleanup_fd int dir = temp_dir(path, sizeof(path));

	if (!check(dir >= 0))
		return;
	check_int(io_write_file(dir, "w", "abc", 3), -ENOENT);
	put(dir, "w", "12345");
	check_int(io_write_file(dir, "w", "abc", 3), 0);
	check_int(io_read_file(dir, "w", &b), 0);
	check_str(b.data, "abc45");
	unlinkat(dir, "w", 0);
	rmdir(path);
}

TEST(pread_wants_all)
{
	char path[64], out[8] = "";
	cleanup_fd int dir = temp_dir(path, sizeof(path));
	cleanup_fd int fd = -EBADF;

	if (!check(dir >= 0))
		return;
	put(dir, "p", "0123456789");
	fd = openat(dir, "p", O_RDONLY | O_CLOEXEC);
	check_int(io_pread_all(fd, out, 4, 6), 0);
	check_mem(out, "6789", 4);
	check_int(io_pread_all(fd, out, 4, 7), -ENODATA);
	check_int(io_pread_all(fd, out, 1, 100), -ENODATA);
	check_int(io_pread_all(fd, out, 0, 100), 0);
	check_int(io_pread_all(-1, out, 1, 0), -EBADF);
	check_int(lseek(fd, 0, SEEK_CUR), 0);
	unlinkat(dir, "p", 0);
	rmdir(path);
}

TEST(reads_links)
{
	char path[64], target[PATH_MAX];
	cleanup_fd int dir = temp_dir(path, sizeof(path));
	cleanup_free char *got = NULL;

	if (!check(dir >= 0))
		return;
	memset(target, 't', sizeof(target) - 1);
	target[sizeof(target) - 1] = '\0';
	check_int(io_readlink(dir, "none", &got), -ENOENT);
	if (symlinkat(target, dir, "l") == 0) {
		check_int(io_readlink(dir, "l", &got), 0);
		check_str(got, target);
		unlinkat(dir, "l", 0);
	} else {
		printf("# a link of %zu bytes is not possible here\n", strlen(target));
		check_int(symlinkat("short", dir, "l"), 0);
		check_int(io_readlink(dir, "l", &got), 0);
		check_str(got, "short");
		unlinkat(dir, "l", 0);
	}
	rmdir(path);
}

TEST(opens_proc)
{
	cleanup_fd int fd = io_open_proc(getpid());
	struct stat st;

	check(fd >= 0);
	check_int(fstatat(fd, "status", &st, 0), 0);
	check_int(fcntl(fd, F_GETFD), FD_CLOEXEC);
	check_int(io_open_proc(INT_MAX), -ENOENT);
}

TEST_MAIN()
