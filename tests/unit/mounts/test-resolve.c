// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/unit/mounts/tree.h"

#define ROOT "1 0 8:1 /ct / rw,relatime - ext4 /dev/sda rw\n"

/* Resolves and gives all refusals joined, to be freed; *ret_tree gets the tree. */
static char *resolve(const char *text, const char *host_text, const struct ckpt_options *opts,
		     struct mount_tree **ret_tree)
{
	struct err err = ERR_INIT;
	struct mount_tree *t = tree_from(text, &err);
	cleanup_with(cleanup_mount_treep) struct mount_tree *host =
		host_text ? tree_from(host_text, &err) : NULL;
	struct buf all = BUF_INIT;
	struct mount *m;

	*ret_tree = t;
	if (!check(t != NULL) || !check_int(mounts_resolve_tree(t, host, opts, &err), 0))
		return NULL;
	buf_reserve(&all, 1);
	all.data[0] = '\0';
	vec_foreach (m, &t->mounts) {
		cleanup_buf struct buf b = BUF_INIT;

		if (mount_refusal(m, t, &b) > 0)
			buf_printf(&all, "%s\n", b.data);
	}
	return all.data;
}

static int count_lines(const char *s)
{
	int n = 0;

	for (; s && *s; s++)
		n += *s == '\n';
	return n;
}

TEST(container)
{
	static const char text[] = ROOT "2 1 0:40 / /proc rw - proc proc rw\n"
					"3 1 0:41 / /dev rw - tmpfs tmpfs rw\n"
					"4 3 0:42 / /dev/pts rw - devpts devpts rw,mode=620\n"
					"5 2 0:40 /sys /proc/sys ro - proc proc rw\n"
					"6 2 0:41 /null /proc/keys rw - tmpfs tmpfs rw\n"
					"7 1 8:1 /ct/data /mnt rw - ext4 /dev/sda rw\n"
					"8 1 8:1 /ct/data /tmp ro - ext4 /dev/sda rw\n"
					"9 3 0:42 /1 /dev/console rw - devpts devpts rw,mode=620\n"
					"10 1 0:44 / /sys ro - sysfs sysfs ro\n"
					"11 1 0:44 / /sys2 ro - sysfs other ro\n"
					"12 1 0:44 / /sys3 ro - sysfs sysfs ro\n";
	const struct ckpt_options opts = { 0 };
	cleanup_with(cleanup_mount_treep) struct mount_tree *t = NULL;
	cleanup_free char *refused = resolve(text, NULL, &opts, &t);

	check_str(refused, "");
	check_int(mounts_find(t, 1)->how, HOW_ROOT);
	check_int(mounts_find(t, 2)->how, HOW_NEW);
	check_int(mounts_find(t, 3)->how, HOW_NEW);
	check_str(mounts_find(t, 4)->options, "mode=620,newinstance");
	check(mounts_find(t, 5)->from == mounts_find(t, 2));
	check(mounts_find(t, 6)->from == mounts_find(t, 3));
	check(mounts_find(t, 7)->from == mounts_find(t, 1));
	check(mounts_find(t, 8)->from == mounts_find(t, 1));
	check(mounts_find(t, 9)->from == mounts_find(t, 4));
	check_int(mounts_find(t, 11)->how, HOW_NEW);
	check(mounts_find(t, 12)->from == mounts_find(t, 10));
}

TEST(refusals)
{
	static const char text[] = ROOT "2 1 8:1 /host/vol /data rw - ext4 /dev/sda rw\n"
					"3 1 8:2 / /disk rw - ext4 /dev/sdb rw\n"
					"4 1 0:40 / /fuse rw - fuse.sshfs x rw\n"
					"5 1 0:41 / /ov rw - overlay overlay rw,lowerdir=/x\n"
					"6 1 0:42 /x//deleted /del rw - ext4 y rw\n"
					"7 1 0:43 / /proc rw - proc proc rw\n"
					"8 1 0:43 /33/net /pidnet rw - proc proc rw\n"
					"9 1 0:44 / /slave rw master:5 - tmpfs t rw\n"
					"10 1 0:45 /ct/x /cg rw - cgroup cgroup rw,cpu\n"
					"11 1 0:46 / /twin rw - tmpfs t rw\n"
					"12 1 0:47 / /twin rw - tmpfs t rw\n"
					"13 1 0:48 / /id rw,idmapped - tmpfs t rw\n";
	const struct ckpt_options opts = { 0 };
	cleanup_with(cleanup_mount_treep) struct mount_tree *t = NULL;
	cleanup_free char *refused = resolve(text, NULL, &opts, &t);

	check_int(count_lines(refused), 11);
	if (!refused)
		return;
	check(strstr(refused, "'/data' (ext4)") && strstr(refused, "mnt[/data]:KEY"));
	check(strstr(refused, "'/disk'") && strstr(refused, "--enable-fs ext4"));
	check(strstr(refused, "'/fuse' (fuse.sshfs)") != NULL);
	check(strstr(refused, "'/ov'") != NULL);
	check(strstr(refused, "'/x' has been deleted") != NULL);
	check(strstr(refused, "'/pidnet'") != NULL);
	check(strstr(refused, "'/slave'") != NULL);
	check(strstr(refused, "cgroup namespace") != NULL);
	check(strstr(refused, "same parent") != NULL);
	check(strstr(refused, "'idmapped'") != NULL);
	check(strstr(refused, "'/proc'") == NULL);
}

TEST(declared)
{
	static const char text[] = ROOT "2 1 8:1 /host/vol /data rw - ext4 /dev/sda rw\n"
					"3 1 8:1 /host/vol/sub /part rw - ext4 /dev/sda rw\n"
					"4 1 8:2 / /disk rw - xfs /dev/sdb rw\n"
					"5 1 8:3 / /blk rw - ext4 /dev/sdc rw\n"
					"6 1 0:41 / /skip rw - fuse x rw\n"
					"7 1 0:42 / /list rw - tmpfs t rw\n"
					"8 1 0:43 /a//deleted /etc/hosts rw - tmpfs t rw\n";
	const char *externals[] = { "mnt[/data/]:vol", "dev[8/3]:disk", "mnt[/nowhere]:x" };
	const char *fs[] = { "btrfs,xfs" }, *skip_list[] = { "/skip" };
	const struct ckpt_pair pairs[] = { { "/list", "list" }, { "/etc/hosts", "/etc/hosts" } };
	const struct ckpt_options opts = {
		.externals = { externals, 3 },
		.enable_fs = { fs, 1 },
		.skip_mounts = { skip_list, 1 },
		.ext_mounts = { pairs, 2 },
	};
	cleanup_with(cleanup_mount_treep) struct mount_tree *t = NULL;
	cleanup_free char *refused = resolve(text, NULL, &opts, &t);

	check_str(refused, "");
	check_str(mounts_find(t, 2)->ext_key, "vol");
	check(mounts_find(t, 3)->from == mounts_find(t, 2));
	check_int(mounts_find(t, 4)->how, HOW_NEW);
	check_int(mounts_find(t, 4)->kind->traits, KIND_AUTO);
	check_str(mounts_find(t, 5)->ext_key, KEY_DEVICE);
	check_str(mounts_find(t, 5)->source, "dev[disk]");
	check(!mount_is_kept(mounts_find(t, 6)));
	check_int(mounts_find(t, 7)->how, HOW_EXTERNAL);
	check_int(mounts_find(t, 8)->how, HOW_EXTERNAL);
}

TEST(automatic)
{
	static const char host[] = "1 0 8:1 / / rw shared:1 - ext4 /dev/sda rw\n"
				   "2 1 8:2 / /srv rw shared:2 - xfs /dev/sdb rw\n"
				   "3 1 8:2 /x /mnt rw shared:3 - xfs /dev/sdb rw\n";
	static const char text[] = "10 1 8:1 /ct / rw master:1 - ext4 /dev/sda rw\n"
				   "11 10 8:2 /x/y /vol rw master:3 - xfs /dev/sdb rw\n"
				   "12 10 8:2 /z /vol2 rw shared:9 - xfs /dev/sdb rw\n"
				   "13 10 8:1 /etc/hosts /etc/hosts rw - ext4 /dev/sda rw\n";
	const char *masters[] = { "mnt[]:m" }, *both[] = { "mnt[]:sm" };
	struct ckpt_options opts = { .externals = { masters, 1 } };
	struct mount_tree *t = NULL;
	char *refused = resolve(text, host, &opts, &t);

	check_int(count_lines(refused), 1);
	check_str(mounts_find(t, 11)->ext_key, KEY_AUTO);
	check_str(mounts_find(t, 11)->source, "/mnt/y");
	check_str(mounts_find(t, 13)->source, "/etc/hosts");
	free(refused);
	mounts_free(t);
	opts.externals.v = both;
	refused = resolve(text, host, &opts, &t);
	check_str(refused, "");
	check_str(mounts_find(t, 12)->source, "/srv/z");
	check(mounts_find(t, 12)->internal_sharing);
	free(refused);
	mounts_free(t);
}

TEST(inside_of_a_skipped_mount)
{
	static const char text[] = ROOT "2 1 0:41 / /skip rw - fuse x rw\n"
					"3 2 0:42 / /skip/in rw - tmpfs t rw\n";
	const char *skip_list[] = { "/skip/" };
	const struct ckpt_options opts = { .skip_mounts = { skip_list, 1 } };
	cleanup_with(cleanup_mount_treep) struct mount_tree *t = NULL;
	cleanup_free char *refused = resolve(text, NULL, &opts, &t);

	check_int(count_lines(refused), 1);
}

TEST_MAIN()
