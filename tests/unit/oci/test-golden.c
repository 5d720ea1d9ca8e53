/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Configurations of real shapes and the plans that are expected of them, in golden/.
 * GOLDEN_UPDATE=1 rewrites the expected texts instead of comparing: read the difference before you
 * keep it.
 */
#include "oci/plan.h"

#include <errno.h>
#include <fcntl.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "oci/json.h"
#include "tests/lib/test.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct oci_hierarchy v2[] = { { "", "/sys/fs/cgroup", "/machine/web" } };

static const struct oci_hierarchy hybrid[] = {
	{ "cpu,cpuacct", "/sys/fs/cgroup/cpu,cpuacct", "/web" },
	{ "freezer", "/sys/fs/cgroup/freezer", "/web" },
	{ "name=systemd", "/sys/fs/cgroup/systemd", "/web" },
	{ "", "/sys/fs/cgroup/unified", "/web" },
};

static const struct oci_path_fact masked[] = {
	{ "/proc/acpi", NULL, OCI_PATH_DIR },	 { "/proc/kcore", NULL, OCI_PATH_FILE },
	{ "/proc/keys", NULL, OCI_PATH_FILE },	 { "/proc/asound", NULL, OCI_PATH_ABSENT },
	{ "/sys/firmware", NULL, OCI_PATH_DIR },
};

static const struct oci_path_fact destinations[] = {
	{ "/var/run/secrets/kubernetes.io/serviceaccount",
	  "/run/secrets/kubernetes.io/serviceaccount", OCI_PATH_DIR },
};

static const struct oci_ns_fact namespaces[] = {
	{ "/run/netns/netns-8d1b", 4026532301 },
	{ "/var/run/netns/c0ffee", 4026532302 },
};

static const char *const streams[] = { "/dev/null", "pipe:[8101]", "pipe:[8101]" };
static const char *const rootless_mountpoints[] = {
	"/",
	"/proc",
	"/proc/keys",
	"/proc/kcore",
	"/dev",
	"/dev/pts",
	"/dev/shm",
	"/dev/null",
	"/dev/zero",
	"/dev/tty",
	"/sys",
	"/sys/firmware",
	"/sys/fs/cgroup",
	"/sys/kernel/security",
	"/sys/fs/bpf",
};

/* One case: all facts of a row, both runtimes' states. */
static const struct golden {
	const char *name, *spec;
	enum oci_runtime runtime;
	struct oci_choices choices;
	struct oci_facts facts;
	const char *cgroup; /* crun */
} cases[] = {
	{ .name = "crun-dump",
	  .spec = "crun.json",
	  .runtime = OCI_CRUN,
	  .cgroup = "/crun/web",
	  .choices = { .image_path = "/ck", .leave_running = true },
	  .facts = { .hierarchies = { v2, COUNT(v2) }, .masked = { masked, COUNT(masked) } } },
	{ .name = "crun-dump-hybrid",
	  .spec = "crun.json",
	  .runtime = OCI_CRUN,
	  .cgroup = "web",
	  .choices = { .image_path = "/ck", .work_path = "/wk", .network_lock = "nftables" },
	  .facts = { .cgroup_layout = OCI_CGROUP_HYBRID,
		     .netns_loopback_only = true,
		     .hierarchies = { hybrid, COUNT(hybrid) },
		     .masked = { masked, COUNT(masked) },
		     .masked_dir_source = "/run/crun/.empty-directory" } },
	{ .name = "crun-restore",
	  .spec = "crun.json",
	  .runtime = OCI_CRUN,
	  .cgroup = "/crun/web",
	  .choices = { .direction = OCI_RESTORE,
		       .image_path = "/ck",
		       .detach = true,
		       .bundle = "/srv/bundles/other",
		       .root_mount = "/srv/bundles/other/criu-root",
		       .console_socket = "/run/s",
		       .pid_file = "/run/p",
		       .tcp_close = true },
	  .facts = { .hierarchies = { v2, COUNT(v2) },
		     .masked = { masked, COUNT(masked) },
		     .masked_dir_source = "/run/crun/.empty-directory" } },
	{ .name = "runc-dump",
	  .spec = "runc.json",
	  .runtime = OCI_RUNC,
	  .choices = { .image_path = "/ck",
		       .file_locks = true,
		       .tcp_established = true,
		       .parent_path = "../pre",
		       .manage_cgroups_mode = "full" },
	  .facts = { .cgroup_layout = OCI_CGROUP_HYBRID,
		     .hierarchies = { hybrid, COUNT(hybrid) },
		     .masked = { masked, COUNT(masked) } } },
	{ .name = "runc-pre-dump",
	  .spec = "runc.json",
	  .runtime = OCI_RUNC,
	  .choices = { .direction = OCI_PRE_DUMP, .image_path = "/pre", .leave_running = true },
	  .facts = { .cgroup_layout = OCI_CGROUP_HYBRID,
		     .hierarchies = { hybrid, COUNT(hybrid) },
		     .masked = { masked, COUNT(masked) } } },
	{ .name = "runc-restore",
	  .spec = "runc.json",
	  .runtime = OCI_RUNC,
	  .choices = { .direction = OCI_RESTORE, .image_path = "/ck", .shell_job = true },
	  .facts = { .cgroup_layout = OCI_CGROUP_HYBRID,
		     .hierarchies = { hybrid, COUNT(hybrid) },
		     .masked = { masked, COUNT(masked) },
		     .descriptors = { streams, COUNT(streams) } } },
	{ .name = "crun-rootless-dump",
	  .spec = "crun-rootless.json",
	  .runtime = OCI_CRUN,
	  .cgroup = "",
	  .choices = { .image_path = "/ck" },
	  .facts = { .hierarchies = { v2, COUNT(v2) }, .masked = { masked, COUNT(masked) } } },
	{ .name = "runc-rootless-dump",
	  .spec = "runc-rootless.json",
	  .runtime = OCI_RUNC,
	  .choices = { .image_path = "/ck" },
	  .facts = { .cgroup_layout = OCI_CGROUP_V2,
		     .masked = { masked, COUNT(masked) },
		     .mountpoints = { rootless_mountpoints, COUNT(rootless_mountpoints) } } },
	{ .name = "podman-dump",
	  .spec = "podman.json",
	  .runtime = OCI_CRUN,
	  .cgroup = "/machine.slice/libpod-5f2d.scope",
	  .choices = { .image_path = "/bd/checkpoint", .work_path = "/bd", .file_locks = true },
	  .facts = { .hierarchies = { v2, COUNT(v2) },
		     .masked = { masked, COUNT(masked) },
		     .namespaces = { namespaces, COUNT(namespaces) } } },
	{ .name = "podman-restore",
	  .spec = "podman.json",
	  .runtime = OCI_CRUN,
	  .cgroup = "/machine.slice/libpod-5f2d.scope",
	  .choices = { .direction = OCI_RESTORE,
		       .image_path = "/bd/checkpoint",
		       .detach = true,
		       .work_path = "/bd",
		       .bundle = "/bd",
		       .console_socket = "/run/s",
		       .pid_file = "/run/p",
		       .tcp_established = true },
	  .facts = { .hierarchies = { v2, COUNT(v2) },
		     .masked = { masked, COUNT(masked) },
		     .descriptors = { streams, COUNT(streams) } } },
	{ .name = "crio-dump",
	  .spec = "crio.json",
	  .runtime = OCI_RUNC,
	  .choices = { .image_path = "/c/checkpoint", .leave_running = true, .file_locks = true },
	  .facts = { .cgroup_layout = OCI_CGROUP_HYBRID,
		     .hierarchies = { hybrid, COUNT(hybrid) },
		     .masked = { masked, COUNT(masked) },
		     .destinations = { destinations, COUNT(destinations) },
		     .namespaces = { namespaces, COUNT(namespaces) } } },
	{ .name = "crio-restore",
	  .spec = "crio.json",
	  .runtime = OCI_RUNC,
	  .choices = { .direction = OCI_RESTORE,
		       .image_path = "/c/checkpoint",
		       .detach = true,
		       .lsm_profile = "selinux:system_u:system_r:container_t:s0:c1,c2",
		       .lsm_mount_context = "system_u:object_r:container_file_t:s0:c1,c2" },
	  .facts = { .hierarchies = { v2, COUNT(v2) },
		     .masked = { masked, COUNT(masked) },
		     .destinations = { destinations, COUNT(destinations) },
		     .descriptors = { streams, COUNT(streams) } } },
};

static void load(const char *name, struct buf *b)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", getenv("GOLDEN_DIR") ?: "golden", name);
	check_int(io_read_file(AT_FDCWD, path, b), 0);
}

static bool make(const struct golden *g, struct oci_plan *plan)
{
	cleanup_buf struct buf config = BUF_INIT, text = BUF_INIT;
	cleanup_oci_spec struct oci_spec spec = { 0 };
	cleanup_oci_state struct oci_state st = { 0 };
	struct err err = ERR_INIT;
	int r;

	load(g->spec, &config);
	load(g->runtime == OCI_CRUN ? "status-crun.json" : "state-runc.json", &text);
	r = oci_spec_parse(&spec, g->spec, config.data, config.len, &err);
	if (r == 0 && g->runtime == OCI_CRUN)
		r = oci_state_parse_crun(&st, "web", "status", text.data, text.len, &err);
	else if (r == 0)
		r = oci_state_parse_runc(&st, "state.json", text.data, text.len, &err);
	if (r == 0 && g->cgroup) {
		st.cgroup_path = g->cgroup;
		st.no_cgroup = !g->cgroup[0];
	}
	if (r == 0)
		r = oci_plan_make(plan, &spec, &st, &g->choices, &g->facts, &err);
	if (r < 0)
		test_fail(__FILE__, __LINE__, "%s: %s", g->name, err.text);
	return r == 0;
}

static void compare(const char *name, const struct buf *have)
{
	cleanup_buf struct buf want = BUF_INIT;
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s.txt", getenv("GOLDEN_DIR") ?: "golden", name);
	if (getenv("GOLDEN_UPDATE")) {
		cleanup_file FILE *f = fopen(path, "we");

		check(f && fwrite(have->data, 1, have->len, f) == have->len);
		return;
	}
	check_int(io_read_file(AT_FDCWD, path, &want), 0);
	if (!want.data || strcmp(want.data, have->data))
		test_fail(__FILE__, __LINE__, "%s: the plan is not that of golden/%s.txt, but: %s",
			  name, name, have->data);
}

TEST(plans_are_as_expected)
{
	for (size_t i = 0; i < COUNT(cases); i++) {
		cleanup_oci_plan struct oci_plan plan = { 0 };
		cleanup_buf struct buf out = BUF_INIT;
		struct err err = ERR_INIT;

		if (!make(&cases[i], &plan))
			continue;
		check_int(oci_plan_print(&plan, false, &out, &err), 0);
		compare(cases[i].name, &out);
	}
}

TEST(the_json_form_is_json)
{
	for (size_t i = 0; i < COUNT(cases); i++) {
		cleanup_oci_plan struct oci_plan plan = { 0 };
		cleanup_buf struct buf out = BUF_INIT;
		struct arena a = { 0 };
		struct err err = ERR_INIT;
		struct json *top;

		if (!make(&cases[i], &plan))
			continue;
		check_int(oci_plan_print(&plan, true, &out, &err), 0);
		if (check_int(json_parse(&a, "plan", out.data, out.len, &top, &err), 0)) {
			check_str(json_get(top, "container")->text, "web");
			check_int(json_get(top, "externalMounts")->n, plan.options.ext_mounts.n);
			check_int(json_get(top, "orphanPtsMaster")->truth, 1);
			check_int(json_get(top, "leaveRunning")->truth, plan.options.leave_running);
		}
		arena_done(&a);
	}
}

/* Every key that a dump puts into its images must have a mapping in a restore of the same
 * configuration. */
TEST(a_restore_knows_the_keys_of_the_dump)
{
	static const struct {
		const char *dump, *restore;
	} pairs[] = { { "crun-dump", "crun-restore" },
		      { "runc-dump", "runc-restore" },
		      { "podman-dump", "podman-restore" } };

	for (size_t i = 0; i < COUNT(pairs); i++) {
		cleanup_oci_plan struct oci_plan dump = { 0 }, restore = { 0 };
		const struct ckpt_pairs *d = &dump.options.ext_mounts;
		const struct ckpt_pairs *r = &restore.options.ext_mounts;
		size_t found = 0;

		for (size_t k = 0; k < COUNT(cases); k++) {
			if (!strcmp(cases[k].name, pairs[i].dump))
				check(make(&cases[k], &dump));
			if (!strcmp(cases[k].name, pairs[i].restore))
				check(make(&cases[k], &restore));
		}
		for (size_t k = 0; k < d->n; k++)
			for (size_t l = 0; l < r->n; l++)
				found += !strcmp(d->v[k].val, r->v[l].key);
		check_int(found, d->n);
	}
}

TEST_MAIN()
