// SPDX-License-Identifier: GPL-2.0-or-later
#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "engine/base/io.h"
#include "engine/image/image.h"
#include "tests/unit/mounts/tree.h"

/* Before the first of their functions is called by whoever. */
TEST(the_library_is_there)
{
	struct err err = ERR_INIT;

	check_int(mounts_load_archive(&err), 0);
	/* once is enough, and more does no harm */
	check_int(mounts_load_archive(&err), 0);
}

static int packed(const char *from, const char *file)
{
	cleanup_fd int dir = open(from, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup_fd int out = open(file, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct pack_ids ids = { 0 };
	struct image_set *set = NULL;
	struct err err = ERR_INIT;
	int r = image_set_new(&set);

	if (r == 0)
		r = mounts_pack(dir, image_get(set, IMG_TMPFS, "t.img"), &ids, &err);
	image_get(set, IMG_INVENTORY, "inventory.img");
	if (r == 0)
		r = image_set_commit(set, out, &err);
	if (r < 0)
		printf("# %s\n", err.text);
	image_set_free(set);
	return r;
}

static int unpacked(const char *file, const char *to, struct err *err)
{
	cleanup_fd int in = open(file, O_RDONLY | O_CLOEXEC);
	cleanup_fd int dir = open(to, O_PATH | O_DIRECTORY | O_CLOEXEC);

	return mounts_unpack(in, dir, err);
}

static void shell(const char *fmt, const char *dir)
{
	char cmd[1024];

	snprintf(cmd, sizeof(cmd), "cd %s && { %s; }", dir, fmt);
	check_int(system(cmd), 0);
}

TEST(round_trip)
{
	char dir[] = "/tmp/test-pack-XXXXXX", path[100];
	cleanup_free char *cwd = getcwd(NULL, 0), *after = NULL;
	struct err err = ERR_INIT;
	struct stat a, b;

	if (!check(mkdtemp(dir) != NULL))
		return;
	shell("mkdir a b img a/d a/empty; echo hello > a/f; ln a/f a/d/hard; ln -s nowhere a/s; "
	      "truncate -s 100M a/sparse; printf x | dd of=a/sparse bs=1 seek=50000000 "
	      "conv=notrunc status=none; mkfifo a/p; chmod 2751 a; chmod 600 a/f; "
	      "printf 'x' > \"a/$(printf 'n\\303\\274 \\n\\377')\"; "
	      "touch -d '2001-02-03 04:05:06.123456789' a/d a/f a",
	      dir);
	snprintf(path, sizeof(path), "%s/a", dir);
	check_int(stat(path, &a), 0);
	snprintf(path, sizeof(path), "%s/img", dir);
	chdir(dir) == 0 ? check_int(packed("a", "img"), 0) : false;
	check_int(unpacked("img/t.img", "b", &err), 0);
	after = getcwd(NULL, 0);
	check_str(after, dir); /* left where we were */
	check_int(stat("b", &b), 0);
	check_int(b.st_mode & 07777, 02751);
	check_int(b.st_mtim.tv_sec, a.st_mtim.tv_sec);
	check_int(b.st_mtim.tv_nsec, 123456789);
	shell("diff -r --no-dereference -x p a b && test -p b/p && test b/f -ef b/d/hard && "
	      "test $(du -k b/sparse | cut -f1) -lt 1000 && test \"$(stat -c %y a/f a/d)\" = "
	      "\"$(stat "
	      "-c %y b/f b/d)\"",
	      dir);
	/* The same files give the same bytes. */
	shell("mkdir img2", dir);
	check_int(packed("b", "img2"), 0);
	shell("cmp img/t.img img2/t.img", dir);
	check_int(chdir(cwd), 0);
	shell("rm -rf *; rmdir \"$PWD\"", dir);
}

static void write_tar(const char *file, const char *name, const char *link)
{
	struct archive *a = archive_write_new();
	struct archive_entry *e = archive_entry_new();

	archive_write_add_filter_gzip(a);
	archive_write_set_format_gnutar(a);
	archive_write_open_filename(a, file);
	if (link) {
		archive_entry_set_pathname(e, "link");
		archive_entry_set_filetype(e, AE_IFLNK);
		archive_entry_set_symlink(e, link);
		archive_write_header(a, e);
		archive_entry_clear(e);
	}
	archive_entry_set_pathname(e, name);
	archive_entry_set_filetype(e, AE_IFREG);
	archive_entry_set_perm(e, 0644);
	archive_entry_set_uid(e, getuid());
	archive_entry_set_gid(e, getgid());
	archive_entry_set_size(e, 0);
	archive_write_header(a, e);
	archive_entry_free(e);
	archive_write_free(a);
}

TEST(hostile_archives)
{
	char dir[] = "/tmp/test-pack-XXXXXX", file[100], to[100];
	static const struct {
		const char *name, *link;
	} bad[] = {
		{ "../escaped", NULL },
		{ "a/../../escaped", NULL },
		{ "/tmp/test-pack-escaped", NULL },
		{ "link/escaped", ".." },
	};

	if (!check(mkdtemp(dir) != NULL))
		return;
	snprintf(file, sizeof(file), "%s/t.tar.gz", dir);
	snprintf(to, sizeof(to), "%s/to", dir);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct err err = ERR_INIT;

		write_tar(file, bad[i].name, bad[i].link);
		check_int(mkdir(to, 0700), 0);
		if (!check(unpacked(file, to, &err) < 0))
			printf("# %s was unpacked\n", bad[i].name);
		check(err.text[0]);
		shell("test ! -e escaped && test ! -e /tmp/test-pack-escaped && rm -rf to", dir);
	}
	shell("rm -f t.tar.gz; rmdir \"$PWD\"", dir);
}

TEST(broken_archives)
{
	char dir[] = "/tmp/test-pack-XXXXXX", file[100];
	struct err err = ERR_INIT;

	if (!check(mkdtemp(dir) != NULL))
		return;
	snprintf(file, sizeof(file), "%s/t", dir);
	shell("mkdir to; echo nonsense | gzip > t", dir);
	check(unpacked(file, dir, &err) < 0);
	shell("echo f > f; tar czf t f; head -c 40 t > u; mv u t; rm f", dir);
	check(unpacked(file, dir, &err) < 0);
	shell("rm -rf t to f; rmdir \"$PWD\"", dir);
}

TEST_MAIN()
