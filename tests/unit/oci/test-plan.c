/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "oci/plan.h"

#include <errno.h>
#include <sched.h>

#include "tests/lib/test.h"

/* One plan in the making, with a container that works until a test bends it. */
struct setup {
	struct oci_spec spec;
	struct oci_state state;
	struct oci_choices choices;
	struct oci_facts facts;
	struct oci_plan plan;
	struct err err;
};

static void setup_done(struct setup *s)
{
	oci_plan_done(&s->plan);
	oci_spec_done(&s->spec);
}
#define cleanup_setup __attribute__((cleanup(setup_done)))

static const struct oci_hierarchy v2[] = { { "", "/sys/fs/cgroup", "/ctr" } };

/* rest: what follows root in config.json, with a leading comma. */
static struct setup setup(enum oci_direction direction, const char *rest)
{
	struct setup s = { .state = { .runtime = OCI_CRUN,
				      .id = "c",
				      .pid = 7,
				      .bundle = "/b",
				      .rootfs = "rootfs",
				      .cgroup_path = "/ctr" },
			   .choices = { .direction = direction },
			   .facts = { .hierarchies = { v2, 1 } },
			   .err = ERR_INIT };
	char text[4096];

	snprintf(text, sizeof(text), "{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"rootfs\"}%s}",
		 rest);
	if (!check_int(oci_spec_parse(&s.spec, "config.json", text, strlen(text), &s.err), 0))
		check_str(s.err.text, "");
	return s;
}

static int make(struct setup *s)
{
	oci_plan_done(&s->plan);
	return oci_plan_make(&s->plan, &s->spec, &s->state, &s->choices, &s->facts, &s->err);
}

static const char *ext(const struct setup *s, const char *key)
{
	const struct ckpt_pairs *m = &s->plan.options.ext_mounts;

	for (size_t i = 0; i < m->n; i++)
		if (!strcmp(m->v[i].key, key))
			return m->v[i].val;
	return NULL;
}

#define BINDS                                                                       \
	",\"mounts\":[{\"destination\":\"/dev\",\"type\":\"tmpfs\"},"               \
	"{\"destination\":\"/data/\",\"source\":\"src\",\"options\":[\"rbind\"]},"  \
	"{\"destination\":\"dev//log\",\"source\":\"/run/log\",\"type\":\"bind\"}," \
	"{\"destination\":\"/data/in\",\"source\":\"../x\",\"options\":[\"bind\",\"rslave\"]}]"

TEST(binds_on_dump)
{
	cleanup_setup struct setup s = setup(OCI_DUMP, BINDS);

	check_int(make(&s), 0);
	check_int(s.plan.options.ext_mounts.n, 3);
	check_str(ext(&s, "/data"), "/data");
	check_str(ext(&s, "/dev/log"), "/dev/log");
	check_str(ext(&s, "/data/in"), "/data/in");
	check(s.plan.options.ext_masters && !s.plan.options.ext_sharing);
	check_int(s.plan.mountpoints.n, 0);
	check_str(s.plan.options.root, "/b/rootfs");
	check_int(s.plan.options.pid, 7);
}

TEST(binds_on_restore_have_absolute_sources)
{
	cleanup_setup struct setup s = setup(OCI_RESTORE, BINDS);

	check_int(make(&s), 0);
	check_str(ext(&s, "/data"), "/b/src");
	check_str(ext(&s, "/dev/log"), "/run/log");
	check_str(ext(&s, "/data/in"), "/x");
	s.choices.bundle = "/new/place";
	s.choices.root_mount = "/run/mnt";
	check_int(make(&s), 0);
	check_str(ext(&s, "/data"), "/new/place/src");
	check_str(s.plan.rootfs, "/new/place/rootfs");
	check_str(s.plan.options.root, "/run/mnt");
	/* /dev/log lies on the container's own tmpfs: not in the root file system */
	check_int(s.plan.mountpoints.n, 3);
	check_str(s.plan.mountpoints.v[0].path, "/dev");
	check(!s.plan.mountpoints.v[0].like);
	check_str(s.plan.mountpoints.v[1].path, "/data");
	check_str(s.plan.mountpoints.v[1].like, "/new/place/src");
	check_str(s.plan.mountpoints.v[2].root, "/new/place/src");
	check_str(s.plan.mountpoints.v[2].path, "/in");
}

TEST(a_mount_that_was_taken_away_is_not_declared)
{
	static const char *const mounted[] = { "/", "/dev", "/data" };
	cleanup_setup struct setup s = setup(OCI_DUMP, BINDS);

	s.facts.mountpoints = (struct ckpt_strings){ mounted, 3 };
	check_int(make(&s), 0);
	check_int(s.plan.options.ext_mounts.n, 1);
	check_str(ext(&s, "/data"), "/data");
}

TEST(mounts_below_an_rbind_follow_it)
{
	static const char *const mounted[] = { "/data",	 "/data/in", "/data/a/b", "/data/in/c",
					       "/dev/x", "/dev/log", "/database" };
	cleanup_setup struct setup s = setup(OCI_DUMP, BINDS);

	s.facts.mountpoints = (struct ckpt_strings){ mounted, 7 };
	check_int(make(&s), 0);
	check_int(s.plan.options.ext_mounts.n, 4);
	check_str(ext(&s, "/data/a/b"), "/data/a/b");
	check(!ext(&s, "/data/in/c") && !ext(&s, "/dev/x") && !ext(&s, "/database"));
	s.choices.direction = OCI_RESTORE;
	check_int(make(&s), 0);
	check_str(ext(&s, "/data/a/b"), "/b/src/a/b");
}

/* Else a restore would show the host's folder where the container had a mask. */
TEST(masks_over_an_rbind_stay_masks)
{
	static const char *const mounted[] = { "/sys", "/sys/firmware", "/sys/fs/bpf", "/sys/ro",
					       "/sys/old" };
	static const struct oci_path_fact f[] = { { "/sys/old", NULL, OCI_PATH_DIR } };
	cleanup_setup struct setup s = setup(
		OCI_DUMP, ",\"mounts\":[{\"destination\":\"/sys\",\"type\":\"none\",\"source\":"
			  "\"/sys\",\"options\":[\"rbind\"]}],\"linux\":{\"maskedPaths\":["
			  "\"/sys/firmware\"],\"readonlyPaths\":[\"/sys/ro\"]}");

	s.facts.mountpoints = (struct ckpt_strings){ mounted, 5 };
	s.facts.masked.v = f;
	s.facts.masked.n = 1;
	for (int direction = OCI_DUMP; direction <= OCI_RESTORE; direction += OCI_RESTORE) {
		s.choices.direction = (enum oci_direction)direction;
		check_int(make(&s), 0);
		check(ext(&s, "/sys") && ext(&s, "/sys/fs/bpf"));
		check(!ext(&s, "/sys/ro") && !ext(&s, "/sys/old"));
		/* a restore maps it in case it is a file */
		check_str(ext(&s, "/sys/firmware"),
			  s.choices.direction == OCI_RESTORE ? "/dev/null" : NULL);
	}
}

TEST(destinations_with_links_are_followed)
{
	static const struct oci_path_fact f[] = { { "/data/", "/srv/data", OCI_PATH_DIR } };
	cleanup_setup struct setup s = setup(OCI_DUMP, BINDS);

	s.facts.destinations.v = f;
	s.facts.destinations.n = 1;
	check_int(make(&s), 0);
	check_str(ext(&s, "/srv/data"), "/srv/data");
	check(!ext(&s, "/data"));
}

TEST(two_binds_at_one_place_are_one)
{
	cleanup_setup struct setup s =
		setup(OCI_RESTORE, ",\"mounts\":[{\"destination\":\"/a\",\"type\":\"bind\","
				   "\"source\":\"/x\"},{\"destination\":\"/a/\",\"type\":\"bind\","
				   "\"source\":\"/y\"}]");

	check_int(make(&s), 0);
	check_int(s.plan.options.ext_mounts.n, 1);
	check_str(ext(&s, "/a"), "/y");
}

TEST(mounts_that_cannot_be_kept)
{
	static const struct {
		const char *mount, *error;
		enum err_class class;
	} cases[] = {
		{ "\"type\":\"bind\"", "config.json: the bind mount at '/a' has no source",
		  ERR_IMAGE },
		{ "\"source\":\"/x\",\"options\":[\"bind\",\"idmap\"]",
		  "mount '/a' maps user ids (idmapped), which is not kept", ERR_UNSUPPORTED },
		{ "\"type\":\"bind\",\"source\":\"/x\",\"uidMappings\":[{\"containerID\":0,"
		  "\"hostID\":5,\"size\":1}]",
		  "mount '/a' maps user ids (idmapped), which is not kept", ERR_UNSUPPORTED },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[512];

		snprintf(text, sizeof(text), ",\"mounts\":[{\"destination\":\"/a\",%s}]",
			 cases[i].mount);
		for (int direction = OCI_DUMP; direction <= OCI_RESTORE; direction += OCI_RESTORE) {
			cleanup_setup struct setup s = setup((enum oci_direction)direction, text);

			check(make(&s) < 0);
			check_str(s.err.text, cases[i].error);
			check_int(s.err.class, cases[i].class);
			check(!s.plan.arena.blocks);
		}
	}
}

#define MASKS ",\"linux\":{\"maskedPaths\":[\"/proc/kcore\",\"/proc/acpi\",\"/proc/none\"]}"

static const struct oci_path_fact masks[] = { { "/proc/kcore", NULL, OCI_PATH_FILE },
					      { "/proc/acpi", NULL, OCI_PATH_DIR },
					      { "/proc/extra", NULL, OCI_PATH_FILE } };

TEST(masked_paths)
{
	cleanup_setup struct setup s = setup(OCI_DUMP, MASKS);

	s.facts.masked.v = masks;
	s.facts.masked.n = 3;
	check_int(make(&s), 0);
	check_int(s.plan.options.ext_mounts.n, 2);
	check_str(ext(&s, "/proc/kcore"), "/proc/kcore");
	/* masked by an earlier restore, not by this configuration */
	check_str(ext(&s, "/proc/extra"), "/proc/extra");
	s.facts.masked_dir_source = "/run/crun/.empty-directory";
	check_int(make(&s), 0);
	check_str(ext(&s, "/proc/acpi"), "/proc/acpi");
	check(!ext(&s, "/proc/none"));
}

TEST(masked_paths_on_restore)
{
	cleanup_setup struct setup s = setup(OCI_RESTORE, MASKS);

	s.facts.masked.v = masks;
	s.facts.masked.n = 3;
	check_int(make(&s), 0);
	check_str(ext(&s, "/proc/kcore"), "/dev/null");
	check_str(ext(&s, "/proc/none"), "/dev/null");
	check_str(ext(&s, "/dev/null"), "/dev/null");
	check(!ext(&s, "/proc/acpi"));
	s.facts.masked_dir_source = "/other/.empty-directory";
	check_int(make(&s), 0);
	check_str(ext(&s, "/proc/acpi"), "/other/.empty-directory");
	check_str(ext(&s, "/run/crun/.empty-directory"), "/other/.empty-directory");
}

TEST(device_nodes_are_bound_in_a_user_namespace)
{
	cleanup_setup struct setup s =
		setup(OCI_DUMP,
		      ",\"linux\":{\"namespaces\":[{\"type\":\"user\"}],\"devices\":[{\"path\":"
		      "\"/dev/fuse\",\"type\":\"c\"},{\"path\":\"/dev/null\",\"type\":\"c\"}]}");
	cleanup_setup struct setup plain = setup(OCI_DUMP, ",\"linux\":{\"devices\":[{\"path\":"
							   "\"/dev/fuse\",\"type\":\"c\"}]}");

	check_int(make(&s), 0);
	check_int(s.plan.options.ext_mounts.n, 7);
	check_str(ext(&s, "/dev/urandom"), "/dev/urandom");
	check_str(ext(&s, "/dev/fuse"), "/dev/fuse");
	check_int(make(&plain), 0);
	check_int(plain.plan.options.ext_mounts.n, 0);
}

static const struct oci_hierarchy v1[] = {
	{ "cpu,cpuacct", "/sys/fs/cgroup/cpu,cpuacct", "/ctr" },
	{ "freezer", "/sys/fs/cgroup/freezer", "/ctr" },
	{ "name=zdtm", "/sys/fs/cgroup/zdtm", "/" },
	{ "rdma", "/sys/fs/cgroup/rdma", NULL },
};

#define CGROUP_MOUNT ",\"mounts\":[{\"destination\":\"/sys/fs/cgroup\",\"type\":\"cgroup\"}]"

TEST(cgroup_mounts_of_v1)
{
	cleanup_setup struct setup s = setup(OCI_DUMP, CGROUP_MOUNT);

	s.facts.hierarchies.v = v1;
	s.facts.hierarchies.n = 4;
	check_int(make(&s), 0);
	check_int(s.plan.options.ext_mounts.n, 0);
	s.facts.cgroup_layout = OCI_CGROUP_V1;
	check_int(make(&s), 0);
	check_int(s.plan.options.ext_mounts.n, 4);
	check_str(ext(&s, "/sys/fs/cgroup/cpu,cpuacct"), "/sys/fs/cgroup/cpu,cpuacct");
	s.choices.direction = OCI_RESTORE;
	check_int(make(&s), 0);
	check_str(ext(&s, "/sys/fs/cgroup/cpu,cpuacct"), "/sys/fs/cgroup/cpu,cpuacct/ctr");
	check_str(ext(&s, "/sys/fs/cgroup/zdtm"), "/sys/fs/cgroup/zdtm");
}

TEST(cgroup_mounts_in_a_cgroup_namespace)
{
	cleanup_setup struct setup s =
		setup(OCI_DUMP, CGROUP_MOUNT ",\"linux\":{\"namespaces\":[{\"type\":\"cgroup\"}]}");

	s.facts.cgroup_layout = OCI_CGROUP_V1;
	s.facts.hierarchies.v = v1;
	s.facts.hierarchies.n = 4;
	check_int(make(&s), 0);
	check_int(s.plan.options.ext_mounts.n, 4);
	s.state.runtime = OCI_RUNC;
	check_int(make(&s), 0);
	check_int(s.plan.options.ext_mounts.n, 0);
}

TEST(freezer)
{
	static struct oci_pair paths[] = { { "cpu", "/sys/fs/cgroup/cpu/ctr" },
					   { "freezer", "/sys/fs/cgroup/freezer/ctr/" },
					   { "", "/sys/fs/cgroup/unified/ctr" } };
	cleanup_setup struct setup s = setup(OCI_DUMP, "");

	check_int(make(&s), 0);
	check_str(s.plan.options.freeze_cgroup, "/sys/fs/cgroup/ctr");
	s.state.cgroup_path = "slice/x.scope";
	check_int(make(&s), 0);
	check_str(s.plan.options.freeze_cgroup, "/sys/fs/cgroup/slice/x.scope");
	s.facts.hierarchies.v = v1;
	s.facts.hierarchies.n = 4;
	check_int(make(&s), 0);
	check_str(s.plan.options.freeze_cgroup, "/sys/fs/cgroup/freezer/slice/x.scope");
	check_int(s.plan.warnings.n, 0);
	s.state.runtime = OCI_RUNC;
	s.state.cgroup_paths = (struct oci_pairs){ paths, 3 };
	check_int(make(&s), 0);
	check_str(s.plan.options.freeze_cgroup, "/sys/fs/cgroup/freezer/ctr");
}

/* Freezing the root of a hierarchy would stop the machine, this process included. */
TEST(the_root_cgroup_is_never_frozen)
{
	static const char *const roots[] = { "/", "", "//", "/..", "/a/../..", NULL };
	static struct oci_pair root_paths[][1] = { { { "freezer", "/sys/fs/cgroup/freezer" } },
						   { { "freezer", "/sys/fs/cgroup/freezer/" } },
						   { { "", "/sys/fs/cgroup" } },
						   { { "", "/" } },
						   { { "cpu", "/sys/fs/cgroup/cpu/x" } } };
	cleanup_setup struct setup s = setup(OCI_DUMP, "");

	for (size_t i = 0; i < sizeof(roots) / sizeof(roots[0]); i++) {
		s.state.cgroup_path = roots[i];
		check_int(make(&s), 0);
		check(!s.plan.options.freeze_cgroup);
		check_int(s.plan.warnings.n, 1);
	}
	s.state.runtime = OCI_RUNC;
	for (size_t i = 0; i < sizeof(root_paths) / sizeof(root_paths[0]); i++) {
		s.state.cgroup_paths = (struct oci_pairs){ root_paths[i], 1 };
		s.facts.hierarchies.n = 0;
		check_int(make(&s), 0);
		check(!s.plan.options.freeze_cgroup);
		s.facts.cgroup_layout = OCI_CGROUP_V1;
		check_int(make(&s), 0);
		check(!s.plan.options.freeze_cgroup);
	}
}

TEST(cgroup_roots)
{
	static const struct oci_hierarchy root[] = { { "", "/sys/fs/cgroup", "/" } };
	cleanup_setup struct setup s = setup(OCI_RESTORE, "");

	s.facts.hierarchies.v = v1;
	s.facts.hierarchies.n = 4;
	check_int(make(&s), 0);
	check_int(s.plan.options.cgroup_roots.n, 3);
	check_str(s.plan.options.cgroup_roots.v[2].key, "name=zdtm");
	check_str(s.plan.options.cgroup_roots.v[2].val, "/");
	check_int(s.plan.options.cgroup_mode, CKPT_CG_SOFT);
	s.choices.manage_cgroups_mode = "ignore";
	check_int(make(&s), 0);
	check(!s.plan.options.manage_cgroups);
	check_int(s.plan.options.cgroup_roots.n, 0);
	s.choices.manage_cgroups_mode = NULL;
	s.facts.hierarchies.v = root;
	s.facts.hierarchies.n = 1;
	check_int(make(&s), -EINVAL);
	check_str(s.err.text, "refusing to restore container 'c' into the root cgroup");
	s.state.no_cgroup = true;
	check_int(make(&s), 0);
}

TEST(namespaces_by_path)
{
	static const struct oci_ns_fact f[] = { { "/n/net", 11 }, { "/n/pid", 12 } };
	cleanup_setup struct setup s = setup(
		OCI_DUMP,
		",\"linux\":{\"namespaces\":[{\"type\":\"network\",\"path\":\"/n/net\"},"
		"{\"type\":\"pid\",\"path\":\"/n/pid\"},{\"type\":\"ipc\",\"path\":\"/n/ipc\"},"
		"{\"type\":\"uts\",\"path\":\"/n/uts\"},{\"type\":\"user\",\"path\":\"/n/user\"},"
		"{\"type\":\"mount\",\"path\":\"/n/mnt\"},{\"type\":\"time\",\"path\":\"/n/time\"}"
		"]}");
	const struct ckpt_options *o = &s.plan.options;

	check_int(make(&s), -ENOENT);
	check_str(s.err.text, "the network namespace '/n/net' of the container's configuration is "
			      "not there");
	s.facts.namespaces.v = f;
	s.facts.namespaces.n = 2;
	check_int(make(&s), 0);
	check_int(o->externals.n, 2);
	check_str(o->externals.v[0], "net[11]:extRootNetNS");
	check_str(o->externals.v[1], "pid[12]:extRootPidNS");
	check_int(o->empty_ns, 0);
	check_int(o->n_join_ns + o->n_inherit_fds, 0);
	s.choices.direction = OCI_RESTORE;
	check_int(make(&s), 0);
	check_int(o->externals.n, 0);
	check_int(o->n_inherit_fds, 2);
	check_str(o->inherit_fds[0].key, "extRootNetNS");
	check_int(s.plan.opens.n, 2);
	check_str(s.plan.opens.v[1].path, "/n/pid");
	oci_plan_set_fd(&s.plan, 1, 42);
	check_int(o->inherit_fds[1].fd, 42);
	check(o->inherit_fds[0].fd < 0);
	check_int(o->n_join_ns, 5);
	check_str(o->join_ns[0].ns, "ipc");
	check_str(o->join_ns[0].file, "/n/ipc");
	check_str(o->join_ns[3].ns, "mnt");
}

TEST(a_cgroup_namespace_by_path_is_refused)
{
	cleanup_setup struct setup s = setup(
		OCI_DUMP, ",\"linux\":{\"namespaces\":[{\"type\":\"cgroup\",\"path\":\"/n/c\"}]}");

	check_int(make(&s), -EOPNOTSUPP);
	check_str(s.err.text, "a cgroup namespace given by path ('/n/c') cannot be restored");
}

#define OWN_NET ",\"linux\":{\"namespaces\":[{\"type\":\"network\"}]}"

TEST(the_containers_own_network)
{
	cleanup_setup struct setup s = setup(OCI_DUMP, OWN_NET);
	cleanup_setup struct setup hooked =
		setup(OCI_DUMP, OWN_NET ",\"hooks\":{\"prestart\":[{\"path\":\"/bin/net\"}]}");
	cleanup_setup struct setup host = setup(OCI_DUMP, ",\"linux\":{}");

	check_int(make(&s), 0);
	check_int(s.plan.options.empty_ns, CLONE_NEWNET);
	check_int(s.plan.warnings.n, 1);
	s.facts.netns_loopback_only = true;
	check_int(make(&s), 0);
	check_int(s.plan.options.empty_ns, 0);
	check_int(s.plan.warnings.n, 0);
	s.choices.netns = OCI_NETNS_EMPTY;
	check_int(make(&s), 0);
	check_int(s.plan.options.empty_ns, CLONE_NEWNET);
	s.facts.netns_loopback_only = false;
	s.choices.netns = OCI_NETNS_WHOLE;
	check_int(make(&s), 0);
	check_int(s.plan.options.empty_ns, 0);
	check_int(make(&hooked), 0);
	check_int(hooked.plan.options.empty_ns, CLONE_NEWNET);
	check_int(hooked.plan.warnings.n, 0);
	check_int(make(&host), 0);
	check_int(host.plan.options.empty_ns, 0);
}

TEST(streams)
{
	static const char *saved[] = { "pipe:[1]", "/dev/null", "/var/log/x" };
	static const char *const given[] = { "pipe:[5]", "pipe:[6]", "pipe:[6]", "pipe:[7]" };
	cleanup_setup struct setup s = setup(OCI_DUMP, "");

	s.state.descriptors = (struct oci_strings){ saved, 3 };
	s.facts.descriptors = (struct ckpt_strings){ given, 4 };
	check_int(make(&s), 0);
	check_int(s.plan.descriptors.n, 3);
	check_str(s.plan.descriptors.v[0], "pipe:[1]");
	check_int(s.plan.warnings.n, 0); /* a host file is kept by the runtime */
	check_int(s.plan.options.n_inherit_fds, 0);
	s.state.descriptors.n = 0;
	check_int(make(&s), 0);
	check_int(s.plan.descriptors.n, 4);
	s.choices.direction = OCI_RESTORE;
	check_int(make(&s), 0);
	check_int(s.plan.descriptors.n, 0);
	check_int(s.plan.options.n_inherit_fds, 2);
	check_str(s.plan.options.inherit_fds[1].key, "pipe:[6]");
	check_int(s.plan.options.inherit_fds[1].fd, 1);
	check_int(s.plan.opens.n, 0);
}

TEST(terminal)
{
	cleanup_setup struct setup s = setup(OCI_RESTORE, ",\"process\":{\"terminal\":true}");

	check_int(make(&s), 0);
	check(s.plan.options.orphan_pts_master);
	s.choices.detach = true;
	check_int(make(&s), -EINVAL);
	check_str(s.err.hint, "give --console-socket, or restore without --detach");
	s.choices.console_socket = "/run/s";
	check_int(make(&s), 0);
	check_str(s.plan.console_socket, "/run/s");
	check(s.plan.options.restore_detached);
}

TEST(configuration_files)
{
	cleanup_setup struct setup s = setup(OCI_DUMP, "");
	cleanup_setup struct setup own =
		setup(OCI_DUMP, ",\"annotations\":{\"org.criu.config\":\"/etc/x.conf\"}");
	cleanup_setup struct setup none =
		setup(OCI_DUMP, ",\"annotations\":{\"org.criu.config\":\"\"}");

	check_int(make(&s), 0);
	check_int(s.plan.config_files.n, 2);
	check_str(s.plan.config_files.v[0], "/etc/criu/crun.conf");
	s.state.runtime = OCI_RUNC;
	check_int(make(&s), 0);
	check_int(s.plan.config_files.n, 1);
	check_str(s.plan.config_files.v[0], "/etc/criu/runc.conf");
	check(!s.plan.config_required);
	check_int(make(&own), 0);
	check_str(own.plan.config_files.v[0], "/etc/x.conf");
	check(own.plan.config_required);
	check_int(make(&none), 0);
	check_int(none.plan.config_files.n, 0);
}

TEST(choices_reach_the_options)
{
	const struct ckpt_options defaults = { .timeout_s = 9, .weak_sysctls = true };
	cleanup_setup struct setup s = setup(OCI_DUMP, "");
	const struct ckpt_options *o = &s.plan.options;

	s.choices = (struct oci_choices){ .defaults = &defaults,
					  .image_path = "/i",
					  .work_path = "/w",
					  .parent_path = "../p",
					  .leave_running = true,
					  .file_locks = true,
					  .network_lock = "nftables",
					  .manage_cgroups_mode = "strict" };
	check_int(make(&s), 0);
	check_int(o->timeout_s, 9);
	check(o->weak_sysctls && o->leave_running && o->file_locks && o->track_mem);
	check_str(o->parent_images_dir, "../p");
	check_str(o->log_file, "dump.log");
	check_int(o->log_level, LOG_DEBUG);
	check_int(o->network_lock, CKPT_LOCK_NFTABLES);
	check_int(o->cgroup_mode, CKPT_CG_STRICT);
	s.choices.direction = OCI_RESTORE;
	check_int(make(&s), 0);
	check_str(o->log_file, "restore.log");
	check(!o->parent_images_dir && !o->track_mem && !o->leave_running);
	check(o->evasive_devices);
	check_int(o->pid, 0);
}

TEST(choices_that_make_no_sense)
{
	static const struct {
		struct oci_choices choices;
		const char *error;
	} cases[] = {
		{ { .parent_path = "/p" },
		  "--parent-path: '/p' must be relative to the image folder" },
		{ { .manage_cgroups_mode = "hard" },
		  "--manage-cgroups-mode: unknown word 'hard', known are: ignore, none, props, "
		  "soft, "
		  "full, strict" },
		{ { .network_lock = "ebpf" },
		  "--network-lock: unknown word 'ebpf', known are: default, iptables, nftables, "
		  "skip" },
		{ { .direction = OCI_PRE_DUMP, .lazy_pages = true },
		  "--pre-dump and --lazy-pages exclude each other" },
		{ { .direction = OCI_RESTORE, .lsm_profile = "web" },
		  "--lsm-profile: expected TYPE:NAME, found 'web'" },
		{ { .direction = OCI_RESTORE, .bundle = "rel" },
		  "the bundle 'rel' is not absolute" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cleanup_setup struct setup s = setup(OCI_DUMP, "");

		s.choices = cases[i].choices;
		check_int(make(&s), -EINVAL);
		check_str(s.err.text, cases[i].error);
	}
}

TEST(a_dump_needs_a_process_and_a_place)
{
	cleanup_setup struct setup s = setup(OCI_DUMP, "");

	s.state.pid = 0;
	check_int(make(&s), -EINVAL);
	check_str(s.err.text, "container 'c' has no process");
	s.state.pid = 7;
	s.state.bundle = NULL;
	check_int(make(&s), -EINVAL);
	check_str(s.err.text, "the bundle is needed for the relative root 'rootfs'");
	s.state.rootfs = "/abs/rootfs";
	check_int(make(&s), 0);
	check_str(s.plan.rootfs, "/abs/rootfs");
}

TEST_MAIN()
