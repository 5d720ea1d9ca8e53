/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command line of crun-criu, and what it makes of mounts and cgroups. */
#include "runtime/cgroup.h"
#include "runtime/rt.h"

#include "tests/lib/test.h"

static struct rt_options o;
static struct err err;

static int parse(const struct opt_table *table, const char *line, struct opt_rest *rest)
{
	static char text[512], *argv[64];
	int argc = 0;
	char *p = text;

	snprintf(text, sizeof(text), "x %s", line);
	for (char *word; (word = strsep(&p, " ")) && argc < 63;)
		if (*word)
			argv[argc++] = word;
	argv[argc] = NULL;
	memset(&o, 0, sizeof(o));
	memset(&err, 0, sizeof(err));
	return opt_parse(table, &o, argc, argv, rest, &err);
}

TEST(global_options_end_at_the_verb)
{
	struct opt_rest rest;

	check_int(parse(&rt_global_options,
			"--root /r -log /l --log-format=json --cgroup-manager disabled checkpoint "
			"--root",
			&rest),
		  0);
	check_str(o.root, "/r");
	check_str(o.log, "/l");
	check_str(o.log_format, "json");
	check_int(rest.consumed, 8);
	check_int(rest.words.n, 0);
	opt_rest_done(&rest);
	check_int(parse(&rt_global_options, "--unheard-of list", &rest), -EINVAL);
	opt_rest_done(&rest);
}

TEST(options_of_both_runtimes)
{
	struct opt_rest rest;

	check_int(parse(&rt_verb_options,
			"--image-path /i --work-path=/w --leave-running --tcp-established "
			"--leave-running "
			"--manage-cgroups-mode ignore --empty-ns network ctr",
			&rest),
		  0);
	check_str(o.choices.image_path, "/i");
	check_str(o.choices.work_path, "/w");
	check(o.choices.leave_running && o.choices.tcp_established);
	check_int(o.choices.netns, OCI_NETNS_EMPTY);
	check_int(rest.words.n, 1);
	check_str(rest.words.v[0], "ctr");
	opt_rest_done(&rest);
	check_int(
		parse(&rt_verb_options,
		      "--detach --pid-file /p --console-socket /s -no-subreaper --no-pivot -b /b c",
		      &rest),
		0);
	check(o.choices.detach && o.no_subreaper);
	check_str(o.choices.bundle, "/b");
	opt_rest_done(&rest);
}

/* Podman looks for these words. */
TEST(the_probe_for_a_missing_argument)
{
	struct opt_rest rest;

	check_int(parse(&rt_verb_options, "--lsm-mount-context", &rest), -EINVAL);
	check(strstr(err.text, "requires an argument") != NULL);
	opt_rest_done(&rest);
}

TEST(mountinfo)
{
	char text[] = "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
		      "65 43 254:0 /a\\040b /mnt/x\\134y rw shared:1 master:2 - ext4 /dev/vda rw\n";
	char bad[] = "31 23 0:28 / /sys\n";
	struct arena a = { 0 };
	struct hv_mounts m = { 0 };

	check_int(hv_mounts_parse(&a, text, &m), 0);
	check_int(m.n, 2);
	check_int(m.v[1].id, 65);
	check_str(m.v[1].root, "/a b");
	check_str(m.v[1].mountpoint, "/mnt/x\\y");
	check_str(m.v[1].fstype, "ext4");
	check_int(hv_mounts_parse(&a, bad, &m), -EINVAL);
	vec_free(&m);
	arena_done(&a);
}

/* A host with v1 hierarchies and a unified one, as the view has it. */
static void make_view(struct hostview *v)
{
	static const struct oci_hierarchy all[] = {
		{ .controllers = "cpu,cpuacct", .mountpoint = "/sys/fs/cgroup/cpu,cpuacct" },
		{ .controllers = "name=systemd", .mountpoint = "/sys/fs/cgroup/systemd" },
		{ .controllers = "", .mountpoint = "/sys/fs/cgroup/unified" },
	};

	memset(v, 0, sizeof(*v));
	for (size_t i = 0; i < 3; i++)
		*vec_add(&v->hierarchies) = all[i];
}

static void free_view(struct hostview *v)
{
	vec_free(&v->hierarchies);
	arena_done(&v->arena);
}

TEST(only_own_cgroups_are_touched)
{
	struct oci_pair paths[] = { { "cpu", "/sys/fs/cgroup/cpu,cpuacct/a" },
				    { "cpuacct", "/sys/fs/cgroup/cpu,cpuacct/a" },
				    { "name=systemd", "/sys/fs/cgroup/systemd" },
				    { "", "/etc/important" } };
	struct oci_state runc = { .runtime = OCI_RUNC, .cgroup_paths = { paths, 4 } };
	struct oci_state crun = { .runtime = OCI_CRUN, .cgroup_path = "/" };
	struct cgroup_dirs dirs = { 0 };
	struct hostview v;

	make_view(&v);
	check_int(cgroup_dirs_of(&v.arena, &runc, &v, &dirs, &err), 0);
	check_int(dirs.n, 1);
	check_str(dirs.v[0], "/sys/fs/cgroup/cpu,cpuacct/a");
	vec_free(&dirs);
	check_int(cgroup_dirs_of(&v.arena, &crun, &v, &dirs, &err), 0);
	check_int(dirs.n, 0);
	crun.cgroup_path = "../x";
	check_int(cgroup_dirs_of(&v.arena, &crun, &v, &dirs, &err), 0);
	check_int(dirs.n, 0);
	crun.cgroup_path = "/b/c";
	check_int(cgroup_dirs_of(&v.arena, &crun, &v, &dirs, &err), 0);
	check_int(dirs.n, 3);
	check_str(dirs.v[2], "/sys/fs/cgroup/unified/b/c");
	vec_free(&dirs);
	free_view(&v);
}

TEST(the_cgroup_of_a_restored_container)
{
	struct oci_spec then = { 0 }, now = { 0 };
	struct oci_state crun = { .runtime = OCI_CRUN, .cgroup_path = "/pods/web" };
	const char *place = NULL;
	struct hostview v;

	make_view(&v);
	memset(&err, 0, sizeof(err));
	check_int(cgroup_choose(&v.arena, &now, &then, &crun, "web", "web", &v, &place, &err), 0);
	check_str(place, "/pods/web");
	check_int(cgroup_choose(&v.arena, &now, &then, &crun, "web", "two", &v, &place, &err), 0);
	check_str(place, "/pods/two");
	now.linux_.cgroups_path = "/other";
	check_int(cgroup_choose(&v.arena, &now, &then, &crun, "web", "two", &v, &place, &err), 0);
	check_str(place, "/other");
	then.linux_.cgroups_path =
		"/other"; /* it said so then, and its runtime made /pods/web of it */
	check_int(cgroup_choose(&v.arena, &now, &then, &crun, "web", "web", &v, &place, &err), 0);
	check_str(place, "/pods/web");
	now.linux_.cgroups_path = "/";
	check_int(cgroup_choose(&v.arena, &now, NULL, &crun, NULL, "web", &v, &place, &err),
		  -EINVAL);
	now.linux_.cgroups_path = "machine.slice:crun:web";
	check_int(cgroup_choose(&v.arena, &now, NULL, &crun, NULL, "web", &v, &place, &err),
		  -EOPNOTSUPP);
	free_view(&v);
}

TEST(the_cgroup_of_a_container_of_runc)
{
	struct oci_pair paths[] = { { "cpu", "/sys/fs/cgroup/cpu,cpuacct/x/c1" } };
	struct oci_state runc = { .runtime = OCI_RUNC, .cgroup_paths = { paths, 1 } };
	struct oci_spec spec = { 0 };
	const char *place = NULL;
	struct hostview v;

	make_view(&v);
	check_int(cgroup_choose(&v.arena, &spec, NULL, &runc, "c1", "c1", &v, &place, &err), 0);
	check_str(place, "/x/c1");
	paths[0].key = "blkio"; /* a hierarchy of another host */
	paths[0].val = "/sys/fs/cgroup/blkio/y/c1";
	check_int(cgroup_choose(&v.arena, &spec, NULL, &runc, "c1", "c1", &v, &place, &err), 0);
	check_str(place, "/y/c1");
	paths[0].val = "/sys/fs/cgroup/blkio";
	check_int(cgroup_choose(&v.arena, &spec, NULL, &runc, "c1", "c1", &v, &place, &err),
		  -EINVAL);
	free_view(&v);
}

TEST_MAIN()
