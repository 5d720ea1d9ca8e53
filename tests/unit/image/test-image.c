/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Image files: what is written is read back, and broken files give one clear error. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/image/image.h"
#include "proto/inventory.pb-c.h"
#include "proto/task.pb-c.h"
#include "tests/lib/test.h"

static int open_dir(char *path)
{
	strcpy(path, "/tmp/ckpt-image-XXXXXX");
	return mkdtemp(path) ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
}

static void remove_dir(const char *path, int fd)
{
	char command[64];

	close(fd);
	snprintf(command, sizeof(command), "rm -rf %s", path);
	check_int(system(command), 0);
}

static struct image_set *small_set(void)
{
	struct image_set *set = NULL;
	InventoryEntry inv = INVENTORY_ENTRY__INIT;
	PstreeEntry task = PSTREE_ENTRY__INIT;
	uint32_t tids[] = { 7, 8 };

	check_int(image_set_new(&set), 0);
	inv.img_version = 2;
	task.pid = 7;
	task.n_threads = 2;
	task.threads = tids;
	check_int(image_add(image_get(set, IMG_PSTREE, "pstree.img"), &task.base), 0);
	task.pid = 9;
	check_int(image_add(image_get(set, IMG_PSTREE, "pstree.img"), &task.base), 0);
	check_int(image_add(image_get(set, IMG_INVENTORY, "inventory.img"), &inv.base), 0);
	return set;
}

TEST(written_records_are_read_back)
{
	struct image_set *set = small_set();
	struct image_reader *r = NULL;
	struct err err = ERR_INIT;
	PstreeEntry *e = NULL;
	char path[32];
	int fd = open_dir(path);

	check_int(image_set_commit(set, fd, &err), 0);
	check_int(image_open(fd, IMG_PSTREE, &r, &err, "pstree.img"), 0);
	check_int(image_next(r, &pstree_entry__descriptor, &e, &err), 1);
	check_int(e->pid, 7);
	check_int((int)e->n_threads, 2);
	protobuf_c_message_free_unpacked(&e->base, NULL);
	check_int(image_next(r, &pstree_entry__descriptor, &e, &err), 1);
	check_int(e->pid, 9);
	protobuf_c_message_free_unpacked(&e->base, NULL);
	check_int(image_next(r, &pstree_entry__descriptor, &e, &err), 0);
	image_reader_free(r);
	image_set_free(set);
	remove_dir(path, fd);
}

TEST(an_absent_file_is_an_outcome)
{
	struct image_reader *r = NULL;
	struct err err = ERR_INIT;
	char path[32];
	int fd = open_dir(path);

	check_int(image_open(fd, IMG_PSTREE, &r, &err, "pstree.img"), IMAGE_ABSENT);
	remove_dir(path, fd);
}

TEST(a_set_without_inventory_is_not_committed)
{
	struct image_set *set = NULL;
	struct err err = ERR_INIT;
	char path[32];
	int fd = open_dir(path);

	check_int(image_set_new(&set), 0);
	check(image_set_commit(set, fd, &err) < 0);
	check(faccessat(fd, "inventory.img", F_OK, 0) < 0);
	image_set_free(set);
	remove_dir(path, fd);
}

TEST(a_discarded_set_leaves_nothing)
{
	struct image_set *set = small_set();
	struct err err = ERR_INIT;
	char path[32];
	int fd = open_dir(path);

	check_int(image_set_commit(set, fd, &err), 0);
	image_set_discard(set, fd);
	check(faccessat(fd, "inventory.img", F_OK, 0) < 0);
	check(faccessat(fd, "pstree.img", F_OK, 0) < 0);
	image_set_free(set);
	remove_dir(path, fd);
}

/* Writes bytes as pstree.img and reads the first record; the error must name the file. */
static void broken(const void *bytes, size_t len)
{
	struct image_reader *r = NULL;
	struct err err = ERR_INIT;
	PstreeEntry *e = NULL;
	char path[32];
	int fd = open_dir(path), n, file;

	file = openat(fd, "pstree.img", O_WRONLY | O_CREAT, 0600);
	check_int((int)write(file, bytes, len), (int)len);
	close(file);
	n = image_open(fd, IMG_PSTREE, &r, &err, "pstree.img");
	if (n == 0)
		n = image_next(r, &pstree_entry__descriptor, &e, &err);
	check(n < 0);
	check_int(err.class, ERR_IMAGE);
	check(strstr(err.text, "'pstree.img'") != NULL);
	image_reader_free(r);
	remove_dir(path, fd);
}

TEST(broken_files_are_named)
{
	static const uint32_t magics[] = { 0x54564319, 0x50273030 };
	uint8_t bytes[32] = { 0 };

	broken("", 0);
	broken("abc", 3);
	broken("abcdefgh", 8);
	memcpy(bytes, magics, 8);
	broken(bytes, 10); /* half a length */
	memset(bytes + 8, 0xff, 4);
	broken(bytes, 12); /* a record of 4 GiB */
	memcpy(bytes + 8, (uint32_t[]){ 4 }, 4);
	memset(bytes + 12, 0xff, 4);
	broken(bytes, 16); /* not a message */
	memcpy(bytes + 8, (uint32_t[]){ 0 }, 4);
	broken(bytes, 12);     /* required fields are missing */
	broken(magics + 1, 4); /* only its own magic */
}

TEST_MAIN()
