/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Plans from images and hosts that exist only here; no group is touched. */
#include "cgroups/plan.h"

#include "cgroups/cgroups.h"
#include "tests/lib/test.h"

#define N(a) (sizeof(a) / sizeof((a)[0]))

/* An image with one hierarchy, one set and one directory. */
struct image {
	CgroupEntry entry;
	CgControllerEntry ctl, *ctls[4];
	CgSetEntry set, set2, *sets[2];
	CgMemberEntry member, member2, *members[2], *members2[1];
	CgroupDirEntry dir, child, *dirs[2], *children[1];
	CgroupPropEntry prop, *props[1];
	char *cnames[2];
};

static void image_init(struct image *i, const char *name, const char *path, const char *dir)
{
	memset(i, 0, sizeof(*i));
	cgroup_entry__init(&i->entry);
	cg_controller_entry__init(&i->ctl);
	cg_set_entry__init(&i->set);
	cg_set_entry__init(&i->set2);
	cg_member_entry__init(&i->member);
	cg_member_entry__init(&i->member2);
	cgroup_dir_entry__init(&i->dir);
	cgroup_dir_entry__init(&i->child);
	cgroup_prop_entry__init(&i->prop);
	i->cnames[0] = i->member.name = i->member2.name = (char *)name;
	i->member.path = (char *)path;
	i->dir.dir_name = (char *)dir;
	i->child.dir_name = (char *)"child";
	i->prop.name = (char *)"pids.max";
	i->prop.value = (char *)"5";
	i->ctls[0] = &i->ctl;
	i->sets[0] = &i->set;
	i->sets[1] = &i->set2;
	i->members[0] = &i->member;
	i->members[1] = &i->member2;
	i->members2[0] = &i->member2;
	i->dirs[0] = &i->dir;
	i->dirs[1] = &i->child;
	i->children[0] = &i->child;
	i->props[0] = &i->prop;
	i->entry.controllers = i->ctls;
	i->entry.n_controllers = 1;
	i->entry.sets = i->sets;
	i->entry.n_sets = 1;
	i->ctl.cnames = i->cnames;
	i->ctl.n_cnames = 1;
	i->ctl.dirs = i->dirs;
	i->ctl.n_dirs = 1;
	i->set.id = 2;
	i->set.ctls = i->members;
	i->set.n_ctls = 1;
	i->set2.id = 3;
	i->set2.ctls = i->members2;
	i->set2.n_ctls = 1;
	i->dir.properties = i->props;
	i->dir.n_properties = 1;
	i->dir.children = i->children;
	i->dir.n_children = 1;
}

static struct cgroups_plan *plan_on(const char *const *hiers, size_t n)
{
	struct cgroups_plan *p = cg_plan_new();

	for (size_t i = 0; i < n; i++) {
		struct cg_hier *h = vec_add(&p->layout.hiers);

		h->name = arena_strdup(&p->layout.arena, hiers[i]);
		h->own_path = arena_strdup(&p->layout.arena, "/");
		h->unified = !hiers[i][0];
		h->root_fd = -1;
	}
	p->mode = CKPT_CG_SOFT;
	p->root_set = 1;
	return p;
}

static void plan_drop(struct cgroups_plan *p)
{
	p->image = NULL; /* not from the unpacker */
	cgroups_plan_free(p);
}

static const char *const v2[] = { "" };
static const char *const hybrid[] = { "cpu,cpuacct", "pids", "name=systemd", "" };
static const char *const apart[] = { "cpu", "cpuacct", "pids" };

static int work_out(struct cgroups_plan *p, struct image *i, const char *key, const char *root,
		    struct err *err)
{
	const struct ckpt_pair pair = { .key = key, .val = root };
	const struct ckpt_pairs roots = { .v = &pair, .n = root ? 1 : 0 };

	p->image = &i->entry;
	return cg_plan_work_out(p, &roots, err);
}

TEST(plain)
{
	struct cgroups_plan *p = plan_on(v2, N(v2));
	struct err err = ERR_INIT;
	struct image i;

	image_init(&i, "", "/a/b", "a/b");
	check_int(work_out(p, &i, NULL, NULL, &err), 0);
	check_str(err.text, "");
	if (check_int(p->sets.n, 1) && check_int(p->dirs.n, 2)) {
		check_str(p->sets.v[0].places.v[0].path, "/a/b");
		check_str(p->dirs.v[0].path, "/a/b");
		check_str(p->dirs.v[1].path, "/a/b/child");
	}
	check(cgroups_has_set(p, 2) && !cgroups_set_inherits(p, 2));
	check(cgroups_has_set(p, 1) && cgroups_set_inherits(p, 1));
	check(!cgroups_has_set(p, 7));
	check(!cgroups_set_has_ns(p, 2));
	check(!p->lanes.v[0].idle);
	plan_drop(p);
}

TEST(root_is_rewritten)
{
	struct cgroups_plan *p = plan_on(v2, N(v2));
	struct err err = ERR_INIT;
	struct image i;

	image_init(&i, "", "/a/b/child", "a/b");
	check_int(work_out(p, &i, "", "//new/ctr/", &err), 0);
	check_str(p->sets.v[0].places.v[0].path, "/new/ctr/child");
	check_str(p->dirs.v[0].path, "/new/ctr");
	plan_drop(p);
}

/* The namespace's root is what a runtime calls the container's group, not where its init sits. */
TEST(root_stands_for_the_namespace_root)
{
	struct cgroups_plan *p = plan_on(v2, N(v2));
	struct err err = ERR_INIT;
	struct image i;

	image_init(&i, "", "/lxc/c1/init.scope", "lxc/c1/init.scope");
	i.member.has_cgns_prefix = true;
	i.member.cgns_prefix = strlen("/lxc/c1");
	check_int(work_out(p, &i, NULL, "/lxc/c2", &err), 0);
	check_str(p->sets.v[0].places.v[0].path, "/lxc/c2/init.scope");
	check_str(p->sets.v[0].places.v[0].ns_root, "/lxc/c2");
	check_str(p->dirs.v[0].path, "/lxc/c2/init.scope");
	check(cgroups_set_has_ns(p, 2));
	plan_drop(p);
}

/* CRIU writes the whole tree of a group it shares with the machine; most of that is not ours. */
TEST(shared_tree_is_pruned)
{
	struct cgroups_plan *p = plan_on(v2, N(v2));
	struct err err = ERR_INIT;
	struct image i;

	image_init(&i, "", "/", "");
	check_int(work_out(p, &i, NULL, "/ctr", &err), 0);
	if (check_int(p->dirs.n, 1))
		check_str(p->dirs.v[0].path, "/ctr");
	check_str(p->sets.v[0].places.v[0].path, "/ctr");
	plan_drop(p);
}

TEST(disjoint_groups_stay_below_the_new_root)
{
	struct cgroups_plan *p = plan_on(v2, N(v2));
	struct err err = ERR_INIT;
	struct image i;

	image_init(&i, "", "/a/b", "a/b");
	i.child.dir_name = (char *)"z";
	i.ctl.n_dirs = 2;
	i.dir.n_children = 0;
	i.entry.n_sets = 2;
	i.member2.path = (char *)"/z";
	check_int(work_out(p, &i, NULL, "/new", &err), 0);
	check_str(p->sets.v[0].places.v[0].path, "/new");
	check_str(p->sets.v[1].places.v[0].path, "/new/z");
	plan_drop(p);
}

TEST(where_the_engine_is_needs_nothing)
{
	struct cgroups_plan *p = plan_on(v2, N(v2));
	struct err err = ERR_INIT;
	struct image i;

	image_init(&i, "", "/", "");
	check_int(work_out(p, &i, NULL, NULL, &err), 0);
	check(p->lanes.v[0].idle);
	plan_drop(p);
}

TEST(together_there_and_apart_here)
{
	struct cgroups_plan *p = plan_on(apart, N(apart));
	struct err err = ERR_INIT;
	struct image i;

	image_init(&i, "cpu,cpuacct", "/a", "a");
	i.cnames[0] = (char *)"cpu";
	i.cnames[1] = (char *)"cpuacct";
	i.ctl.n_cnames = 2;
	check_int(work_out(p, &i, NULL, NULL, &err), 0);
	check_int(p->lanes.n, 2);
	check_int(p->sets.v[0].places.n, 2);
	plan_drop(p);
}

TEST(apart_there_and_together_here)
{
	CgControllerEntry second = CG_CONTROLLER_ENTRY__INIT;
	char *name = (char *)"cpuacct";

	for (int differ = 0; differ < 2; differ++) {
		struct cgroups_plan *p = plan_on(hybrid, N(hybrid));
		struct err err = ERR_INIT;
		struct image i;

		image_init(&i, "cpu", "/a", "a");
		second.cnames = &name;
		second.n_cnames = 1;
		i.ctls[1] = &second;
		i.entry.n_controllers = 2;
		i.member2.name = name;
		i.member2.path = (char *)(differ ? "/b" : "/a");
		i.set.n_ctls = 2;
		check_int(work_out(p, &i, NULL, NULL, &err) < 0, differ);
		check(!differ || strstr(err.text, "one hierarchy"));
		if (!differ)
			check_int(p->sets.v[0].places.n, 1);
		plan_drop(p);
	}
}

TEST(missing_controller)
{
	struct cgroups_plan *p = plan_on(v2, N(v2));
	struct err err = ERR_INIT;
	struct image i;

	image_init(&i, "memory", "/a", "a");
	check(work_out(p, &i, NULL, NULL, &err) < 0);
	check_int(err.class, ERR_UNSUPPORTED);
	check(strstr(err.text, "'memory'"));
	check(err.hint[0]);
	plan_drop(p);
	/* In the root of a hierarchy that is not here nothing is lost. */
	p = plan_on(v2, N(v2));
	image_init(&i, "memory", "/", "");
	check_int(work_out(p, &i, NULL, NULL, &err), 0);
	plan_drop(p);
}

static void hostile(struct image *i, const char *what)
{
	struct cgroups_plan *p = plan_on(hybrid, N(hybrid));
	struct err err = ERR_INIT;

	if (!check(work_out(p, i, NULL, NULL, &err) < 0))
		printf("# accepted: %s\n", what);
	check_int(err.class, ERR_IMAGE);
	plan_drop(p);
}

TEST(hostile_paths)
{
	static const char *const paths[] = { "a",     "",    "/../x", "/a/../../etc",
					     "/a//b", "/a/", "/a\nb" };
	static const char *const dirs[] = { "/a", "../x", "a/../../b", "a//b", "a/", "." };
	struct image i;

	for (size_t k = 0; k < N(paths); k++) {
		image_init(&i, "pids", paths[k], "a");
		hostile(&i, paths[k]);
	}
	for (size_t k = 0; k < N(dirs); k++) {
		image_init(&i, "pids", "/a", dirs[k]);
		hostile(&i, dirs[k]);
		image_init(&i, "pids", "/a", "a");
		i.child.dir_name = (char *)dirs[k];
		hostile(&i, dirs[k]);
	}
	image_init(&i, "pids", "/a", "a");
	i.child.dir_name = (char *)"";
	hostile(&i, "empty child");
}

TEST(hostile_names)
{
	static const char *const names[] = { "a/b", "x y", "cpu\n", "pids;x" };
	static const char *const props[] = { "../../x", "/etc/passwd", "", "..", "a b" };
	struct image i;

	for (size_t k = 0; k < N(names); k++) {
		image_init(&i, names[k], "/a", "a");
		hostile(&i, names[k]);
	}
	for (size_t k = 0; k < N(props); k++) {
		image_init(&i, "pids", "/a", "a");
		i.prop.name = (char *)props[k];
		hostile(&i, props[k]);
	}
}

TEST(hostile_ids)
{
	CgControllerEntry twice;
	struct image i;

	image_init(&i, "pids", "/a", "a");
	i.set.id = 0;
	hostile(&i, "id 0");
	image_init(&i, "pids", "/a", "a");
	i.entry.n_sets = 2;
	i.member2.path = (char *)"/a";
	i.set2.id = 2;
	hostile(&i, "twice");
	image_init(&i, "pids", "/a", "a");
	i.member2.path = (char *)"/a";
	i.set.n_ctls = 2;
	hostile(&i, "member twice");
	image_init(&i, "pids", "/a", "a");
	i.member.name = (char *)"memory";
	hostile(&i, "no such hierarchy");
	image_init(&i, "pids", "/a", "a");
	twice = i.ctl;
	i.ctls[1] = &twice;
	i.entry.n_controllers = 2;
	hostile(&i, "hierarchy twice");
	image_init(&i, "pids", "/a", "a");
	i.ctl.n_cnames = 0;
	hostile(&i, "nameless");
}

TEST(hostile_prefix)
{
	static const uint32_t prefixes[] = { 1, 3, 6, 4000000000u };
	struct image i;

	for (size_t k = 0; k < N(prefixes); k++) {
		image_init(&i, "pids", "/abc/d", "abc");
		i.member.has_cgns_prefix = true;
		i.member.cgns_prefix = prefixes[k];
		if (prefixes[k] != 6)
			hostile(&i, "prefix");
	}
}

TEST(hostile_depth)
{
	CgroupDirEntry dir[80], *link[80];
	struct image i;

	for (size_t k = 0; k < N(dir); k++) {
		cgroup_dir_entry__init(&dir[k]);
		dir[k].dir_name = (char *)"d";
		link[k] = &dir[k];
		if (k) {
			dir[k - 1].children = &link[k];
			dir[k - 1].n_children = 1;
		}
	}
	image_init(&i, "pids", "/d", "d");
	i.dirs[0] = &dir[0];
	hostile(&i, "too deep");
}

TEST(bad_root_option)
{
	struct cgroups_plan *p = plan_on(v2, N(v2));
	struct err err = ERR_INIT;
	struct image i;

	image_init(&i, "", "/a", "a");
	check(work_out(p, &i, NULL, "/a/../..", &err) < 0);
	check_int(err.class, ERR_USAGE);
	plan_drop(p);
}

TEST_MAIN()
