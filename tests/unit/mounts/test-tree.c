// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/unit/mounts/tree.h"

/* Lines of a default runc container, with an overmount, a covered sibling and odd characters added.
 */
static const char container[] =
	"65 43 254:0 /ct/rootfs / ro,relatime master:1 - ext4 /dev/vda rw,discard,resuid=1\n"
	"66 65 0:40 / /proc rw,relatime - proc proc rw\n"
	"67 65 0:41 / /dev rw,nosuid - tmpfs tmpfs rw,size=65536k,mode=755\n"
	"68 67 0:42 / /dev/pts rw,nosuid,noexec,relatime - devpts devpts rw,gid=5,mode=620\n"
	"71 65 0:44 / /sys ro,nosuid,noexec,noatime,nodiratime,nosymfollow - sysfs sysfs ro,sync\n"
	"80 65 0:50 / /a/b rw,relatime shared:7 master:3 propagate_from:2 - tmpfs deep rw\n"
	"81 65 0:51 / /a rw,relatime unbindable - tmpfs cover rw\n"
	"82 65 0:52 / /over rw,relatime - tmpfs low rw\n"
	"83 82 0:53 / /over rw,relatime - tmpfs high rw\n"
	"84 65 254:0 /vol//deleted /with\\040space\\011tab rw,idmapped - ext4 /dev/vda rw\n"
	"85 65 0:54 / /s rw - fuse.sshfs u@h: rw,context=\"a:b,c\",mpol=bind:0-1,3\n";

TEST(fields)
{
	struct err err = ERR_INIT;
	cleanup_with(cleanup_mount_treep) struct mount_tree *t = tree_from(container, &err);
	const struct mount *m;

	if (!check(t != NULL))
		return;
	check_int(mounts_count(t), 11);
	m = mounts_find(t, 65);
	check_str(m->root, "/ct/rootfs");
	check_int(mount_sdev(m), 254 << 20);
	check_int(m->master, 1);
	check_int(m->flags, MS_RDONLY | MS_RELATIME | MS_SLAVE);
	check_int(m->sb_flags, 0);
	check_str(m->options, "discard,resuid=1");
	check(m->parent == NULL);
	m = mounts_find(t, 67);
	check_int(m->flags, MS_NOSUID | MS_STRICTATIME);
	check(m->parent == mounts_find(t, 65));
	m = mounts_find(t, 71);
	check_int(m->flags,
		  MS_RDONLY | MS_NOSUID | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME | MS_NOSYMFOLLOW);
	check_int(m->sb_flags, MS_RDONLY | MS_SYNCHRONOUS);
	check_str(m->options, "");
	m = mounts_find(t, 80);
	check_int(m->shared, 7);
	check_int(m->master, 3);
	check(mounts_find(t, 81)->flags & MS_UNBINDABLE);
	m = mounts_find(t, 84);
	check_str(m->root, "/vol");
	check(m->deleted);
	check_str(m->path, "/with space\ttab");
	check_str(m->unknown, "idmapped");
	m = mounts_find(t, 85);
	check_str(m->kind->name, "fuse");
	check_str(m->fstype, "fuse.sshfs");
	check_str(m->options, "context=\"a:b,c\",mpol=bind:0-1,3");
	check(mounts_find(t, 99) == NULL);
}

TEST(lookup)
{
	struct err err = ERR_INIT;
	cleanup_with(cleanup_mount_treep) struct mount_tree *t = tree_from(container, &err);

	if (!check(t != NULL))
		return;
	check_int(mounts_lookup(t, "/")->id, 65);
	check_int(mounts_lookup(t, "/etc/passwd")->id, 65);
	check_int(mounts_lookup(t, "/dev/null")->id, 67);
	check_int(mounts_lookup(t, "/dev/pts")->id, 68);
	check_int(mounts_lookup(t, "/dev/pts/0")->id, 68);
	check_int(mounts_lookup(t, "/dev/ptsx")->id, 67);
	check_int(mounts_lookup(t, "/over/f")->id, 83);
	check_int(mounts_lookup(t, "/a/b/c")->id, 81);
	check(!mounts_path_visible(t, 80, "/a/b"));
	check(!mounts_path_visible(t, 82, "/over"));
	check(mounts_path_visible(t, 83, "/over"));
}

TEST(broken_trees)
{
	static const char *const bad[] = {
		"",
		"garbage\n",
		"1 0 0:1 / / rw - a a rw\n1 1 0:1 / /x rw - a a rw\n",
		"1 0 0:1 / / rw - a a rw\n2 9 0:1 / /x rw - a a rw\n",
		"2 3 0:1 / /x rw - a a rw\n3 2 0:1 / /x rw - a a rw\n",
		"1 0 0:1 / / rw - a a rw\n2 3 0:1 / /x rw - a a rw\n3 2 0:1 / /x rw - a a rw\n",
		"1 0 0:1 / / rw - a a rw\n2 1 0:1 / /x rw - a a rw\n3 2 0:1 / /y rw - a a rw\n",
		"1 0 0:1 / / rw - a a rw\n2 1 0:1 / /x/../y rw - a a rw\n",
		"1 0 0:1 / /notroot rw - a a rw\n",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct err err = ERR_INIT;
		struct mount_tree *t = tree_from(bad[i], &err);

		if (!check(t == NULL))
			printf("# case %zu\n", i);
		check(!bad[i][0] || err.text[0]); /* fmemopen() refuses the empty text */
		mounts_free(t);
	}
}

TEST(paths)
{
	check_str(path_below("/a/b", "/"), "a/b");
	check_str(path_below("/a/b", "/a"), "b");
	check_str(path_below("/a", "/a"), "");
	check_str(path_below("/", "/"), "");
	check(path_below("/ab", "/a") == NULL);
	check(path_below("/", "/a") == NULL);
	check(path_is_clean("/"));
	check(path_is_clean("/a/..b/c"));
	check(!path_is_clean("a"));
	check(!path_is_clean(""));
	check(!path_is_clean("/a/"));
	check(!path_is_clean("//a"));
	check(!path_is_clean("/a/./b"));
	check(!path_is_clean("/.."));
	check(path_equal("/a/", "/a"));
	check(path_equal("/", "/"));
	check(!path_equal("/a", "/a/b"));
	check_int(path_depth("/"), 0);
	check_int(path_depth("/a/b"), 2);
}

TEST(option_words)
{
	cleanup_buf struct buf key = BUF_INIT, val = BUF_INIT;
	const char *pos = "size=1k,context=\"a:b,c\",noswap,mpol=bind:0,2,gid=5";
	cleanup_free char *s = options_set_context("a=1,context=\"x,y\",b", "new:l");
	bool has = false;

	check_int(options_next(&pos, &key, &val, &has), 1);
	check_str(key.data, "size");
	check_str(val.data, "1k");
	check_int(options_next(&pos, &key, &val, &has), 1);
	check_str(val.data, "a:b,c");
	check_int(options_next(&pos, &key, &val, &has), 1);
	check_str(key.data, "noswap");
	check(!has);
	check_int(options_next(&pos, &key, &val, &has), 1);
	check_str(val.data, "bind:0,2");
	check_int(options_next(&pos, &key, &val, &has), 1);
	check_str(key.data, "gid");
	check_int(options_next(&pos, &key, &val, &has), 0);
	check_str(s, "a=1,context=\"new:l\",b");
}

TEST(id_maps)
{
	cleanup_with(cleanup_idmapp) struct idmap map = { 0 }, none = { 0 }, bad = { 0 };

	check_int(idmap_parse("         0     100000      65536\n     70000  5 1\n", &map), 0);
	check_int(idmap_to_inside(&map, 100005), 5);
	check_int(idmap_to_inside(&map, 5), 70000);
	check_int(idmap_to_inside(&map, 6), 65534);
	check_int(idmap_to_inside(&none, 42), 42);
	check_int(idmap_parse("0 x 1\n", &bad), -EBADMSG);
}

TEST_MAIN()
