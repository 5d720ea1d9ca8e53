// SPDX-License-Identifier: GPL-2.0-or-later
#include <fcntl.h>
#include <sys/stat.h>

#include "engine/image/image.h"
#include "proto/mounts.pb-c.h"
#include "tests/unit/mounts/tree.h"

/* Later initializers replace the defaults. */
#pragma GCC diagnostic ignored "-Woverride-init"
#define ENTRY(...)                                                                                \
	{                                                                                         \
		PROTOBUF_C_MESSAGE_INIT(&mnt_entry__descriptor),                                  \
			.root = (char *)"/", .mountpoint = (char *)"/", .source = (char *)"none", \
			.options = (char *)"", .has_sb_flags = 1, .root_dev = 1, __VA_ARGS__      \
	}
#define STR(s) ((char *)(uintptr_t)(s))

/* Writes the records, in the order of mountinfo, as an image set and loads them. */
static int load(MntEntry *entries, size_t n, const struct ckpt_options *opts, bool archive,
		struct mount_plan **plan, struct err *err)
{
	char dir[] = "/tmp/test-mounts-XXXXXX", cmd[64];
	struct image_set *set = NULL;
	struct image *img;
	int fd, r;

	*plan = NULL;
	if (!check(mkdtemp(dir) != NULL) || image_set_new(&set) < 0)
		return -1;
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	img = image_get(set, IMG_MNTS, "mountpoints-3.img");
	for (size_t i = n; i-- > 0;)
		image_add(img, &entries[i].base);
	if (archive)
		image_add_raw(image_get(set, IMG_TMPFS, "tmpfs-dev-5.tar.gz.img"), "x", 1);
	image_get(set, IMG_INVENTORY, "inventory.img");
	r = image_set_commit(set, fd, err);
	check_int(r, 0);
	image_set_free(set);
	if (r == 0)
		r = mounts_load(fd, 3, opts, plan, err);
	close(fd);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	check_int(system(cmd), 0);
	return r;
}

static const struct ckpt_options plain = { .root = "/tmp" };

static void expect_bad(MntEntry *entries, size_t n, const char *word)
{
	cleanup_with(cleanup_mount_planp) struct mount_plan *plan = NULL;
	struct err err = ERR_INIT;

	check(load(entries, n, &plain, false, &plan, &err) < 0);
	check(plan == NULL);
	if (!check(strstr(err.text, word) != NULL))
		printf("# wanted '%s', got: %s\n", word, err.text);
}

TEST(good)
{
	MntEntry e[] = {
		ENTRY(.mnt_id = 1, .parent_mnt_id = 99, .root = STR("/ct"), .flags = MS_RDONLY),
		ENTRY(.mnt_id = 2, .parent_mnt_id = 1, .fstype = FSTYPE__PROC, .root_dev = 4,
		      .mountpoint = STR("/proc")),
		ENTRY(.mnt_id = 3, .parent_mnt_id = 1, .fstype = FSTYPE__TMPFS, .root_dev = 5,
		      .mountpoint = STR("/dev"), .options = STR("size=1k")),
		ENTRY(.mnt_id = 4, .parent_mnt_id = 3, .fstype = FSTYPE__DEVPTS, .root_dev = 6,
		      .mountpoint = STR("/dev/pts")),
		ENTRY(.mnt_id = 5, .parent_mnt_id = 3, .fstype = FSTYPE__DEVPTS, .root_dev = 6,
		      .mountpoint = STR("/dev/console"), .root = STR("/7")),
		ENTRY(.mnt_id = 6, .parent_mnt_id = 1, .mountpoint = STR("/vol"), .root_dev = 9,
		      .root = STR("/v"), .ext_key = STR("key")),
		ENTRY(.mnt_id = 7, .parent_mnt_id = 1, .mountpoint = STR("/old"), .root_dev = 9,
		      .root = STR("oldkey"), .has_ext_mount = 1, .ext_mount = 1),
	};
	const struct ckpt_pair pairs[] = { { "key", "/" }, { "oldkey", "/tmp" } };
	const struct ckpt_options opts = { .root = "/tmp", .ext_mounts = { pairs, 2 } };
	cleanup_with(cleanup_mount_planp) struct mount_plan *plan = NULL;
	const struct mount_pty *ptys;
	const struct mount_tree *t;
	struct err err = ERR_INIT;
	size_t n = 0;

	if (!check_int(load(e, 7, &opts, true, &plan, &err), 0)) {
		printf("# %s\n", err.text);
		return;
	}
	t = mounts_plan_tree(plan);
	check_int(mounts_count(t), 7);
	check_int(mount_id(mounts_at(t, 0)), 1);
	check_str(mounts_find(t, 6)->ext_path, "/");
	check_str(mounts_find(t, 7)->ext_path, "/tmp");
	check(mounts_find(t, 5)->from == mounts_find(t, 4));
	ptys = mounts_plan_ptys(plan, &n);
	check_int(n, 1);
	check_int(ptys[0].index, 7);
	check_int(ptys[0].sdev, 6);
	check_int(ptys[0].fd, -1);
}

TEST(a_mount_of_a_plugin_wants_one)
{
	MntEntry e[] = {
		ENTRY(.mnt_id = 1, .parent_mnt_id = 99),
		ENTRY(.mnt_id = 2, .parent_mnt_id = 1, .mountpoint = STR("/x"), .root_dev = 9,
		      .root = STR("/v"), .has_with_plugin = 1, .with_plugin = 1),
	};
	const struct ckpt_options opts = { .root = "/tmp" };
	cleanup_with(cleanup_mount_planp) struct mount_plan *plan = NULL;
	struct err err = ERR_INIT;

	if (!check_int(load(e, 2, &opts, false, &plan, &err), 0))
		return;
	check_int(mounts_at(mounts_plan_tree(plan), 1)->how, HOW_PLUGIN);
	check(mounts_plan_use_plugins(plan, NULL, &err) < 0);
	check(strstr(err.text, "'/x'") != NULL);
}

TEST(missing_archive)
{
	MntEntry e[] = {
		ENTRY(.mnt_id = 1, .parent_mnt_id = 99),
		ENTRY(.mnt_id = 3, .parent_mnt_id = 1, .fstype = FSTYPE__TMPFS, .root_dev = 5,
		      .mountpoint = STR("/dev")),
	};

	expect_bad(e, 2, "tmpfs-dev-5.tar.gz.img");
}

TEST(missing_sources_all_named)
{
	MntEntry e[] = {
		ENTRY(.mnt_id = 1, .parent_mnt_id = 99),
		ENTRY(.mnt_id = 2, .parent_mnt_id = 1, .mountpoint = STR("/a"), .root_dev = 9,
		      .ext_key = STR("ka")),
		ENTRY(.mnt_id = 3, .parent_mnt_id = 1, .mountpoint = STR("/b"), .root_dev = 9,
		      .ext_key = STR("kb")),
		ENTRY(.mnt_id = 4, .parent_mnt_id = 1, .mountpoint = STR("/c"), .root_dev = 9,
		      .ext_key = STR(KEY_AUTO)),
		ENTRY(.mnt_id = 5, .parent_mnt_id = 1, .mountpoint = STR("/d"), .root_dev = 9,
		      .ext_key = STR(KEY_DEVICE), .source = STR("dev[x]"), .fstype = FSTYPE__AUTO,
		      .fsname = STR("ext4")),
	};

	expect_bad(e, 5, "'/a' (give mnt[ka]:PATH");
	expect_bad(e, 5, "'/b' (give mnt[kb]:PATH");
	expect_bad(e, 5, "'/c' (allow it");
	expect_bad(e, 5, "'/d' (give dev[x]:DEVICE");
}

TEST(hostile)
{
	MntEntry root = ENTRY(.mnt_id = 1, .parent_mnt_id = 99);
	struct {
		const char *word;
		MntEntry e;
	} bad[] = {
		{ "twice", ENTRY(.mnt_id = 1, .parent_mnt_id = 1, .mountpoint = STR("/x")) },
		{ "no parent", ENTRY(.mnt_id = 2, .parent_mnt_id = 7, .mountpoint = STR("/x")) },
		{ "no parent", ENTRY(.mnt_id = 2, .parent_mnt_id = 7) },
		{ "absolute path",
		  ENTRY(.mnt_id = 2, .parent_mnt_id = 1, .mountpoint = STR("/x/../../y")) },
		{ "absolute path", ENTRY(.mnt_id = 2, .parent_mnt_id = 1, .mountpoint = STR("x")) },
		{ "a root that", ENTRY(.mnt_id = 2, .parent_mnt_id = 1, .mountpoint = STR("/x"),
				       .root = STR("/../etc")) },
		{ "a root that", ENTRY(.mnt_id = 2, .parent_mnt_id = 1, .mountpoint = STR("/x"),
				       .root = STR("")) },
		{ "unknown file system",
		  ENTRY(.mnt_id = 2, .parent_mnt_id = 1, .fstype = 77, .mountpoint = STR("/x")) },
		{ "out of range",
		  ENTRY(.mnt_id = 0x80000000, .parent_mnt_id = 1, .mountpoint = STR("/x")) },
		{ "unknown flags", ENTRY(.mnt_id = 2, .parent_mnt_id = 1, .mountpoint = STR("/x"),
					 .flags = 1u << 31) },
		{ "type name", ENTRY(.mnt_id = 2, .parent_mnt_id = 1, .mountpoint = STR("/x"),
				     .fstype = FSTYPE__AUTO) },
		{ "type name", ENTRY(.mnt_id = 2, .parent_mnt_id = 1, .mountpoint = STR("/x"),
				     .fstype = FSTYPE__PROC, .fsname = STR("ext4")) },
		{ "plugin", ENTRY(.mnt_id = 2, .parent_mnt_id = 1, .mountpoint = STR("/x"),
				  .has_with_plugin = 1, .with_plugin = 1, .ext_key = STR("k")) },
		{ "cannot be saved",
		  ENTRY(.mnt_id = 2, .parent_mnt_id = 1, .root_dev = 8, .mountpoint = STR("/x")) },
		{ "outside of the container", ENTRY(.mnt_id = 2, .parent_mnt_id = 1, .root_dev = 8,
						    .root = STR("/z"), .mountpoint = STR("/x")) },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		MntEntry e[] = { root, bad[i].e };

		expect_bad(e, 2, bad[i].word);
	}
	expect_bad(&root, 0, "no root mount");
}

TEST(cycle)
{
	MntEntry e[] = {
		ENTRY(.mnt_id = 1, .parent_mnt_id = 99),
		ENTRY(.mnt_id = 2, .parent_mnt_id = 3, .mountpoint = STR("/x")),
		ENTRY(.mnt_id = 3, .parent_mnt_id = 2, .mountpoint = STR("/x")),
	};

	expect_bad(e, 3, "cycle");
}

TEST(not_below_its_parent)
{
	MntEntry e[] = {
		ENTRY(.mnt_id = 1, .parent_mnt_id = 99),
		ENTRY(.mnt_id = 2, .parent_mnt_id = 1, .mountpoint = STR("/x")),
		ENTRY(.mnt_id = 3, .parent_mnt_id = 2, .mountpoint = STR("/y")),
	};

	expect_bad(e, 3, "outside of its parent");
}

TEST_MAIN()
