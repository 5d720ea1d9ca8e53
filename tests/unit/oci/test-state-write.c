/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "oci/state.h"

#include <errno.h>
#include <fcntl.h>

#include "engine/base/io.h"
#include "tests/lib/test.h"

static void load(const char *name, struct buf *b)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", getenv("GOLDEN_DIR") ?: "golden", name);
	check_int(io_read_file(AT_FDCWD, path, b), 0);
}

TEST(crun_writes_what_it_read)
{
	cleanup_oci_state struct oci_state st = { 0 };
	cleanup_buf struct buf b = BUF_INIT, out = BUF_INIT;
	struct err err = ERR_INIT;

	load("status-crun.json", &b);
	check_int(oci_state_parse_crun(&st, "web", "status", b.data, b.len, &err), 0);
	check_int(oci_state_write_crun(&st, &out, &err), 0);
	check_str(out.data, b.data);
}

/* Deleting a container kills what is in its cgroup: never let that be everything. */
TEST(crun_is_never_given_a_root_cgroup)
{
	static const char *const roots[] = {
		NULL, "", "/", "//", "/.", "./", "/..", "/a/..", "../x"
	};
	static const char *const good[] = {
		"/a", "a", "/a/b", "/crun/web", "/a//b/", "/...", "/..a"
	};
	struct oci_state st = { .runtime = OCI_CRUN,
				.id = "x",
				.pid = 5,
				.bundle = "/b",
				.rootfs = "r",
				.created = "t" };

	for (size_t i = 0; i < sizeof(roots) / sizeof(roots[0]); i++) {
		cleanup_buf struct buf out = BUF_INIT;
		struct err err = ERR_INIT;

		st.cgroup_path = roots[i];
		check(!oci_cgroup_is_own(roots[i]));
		check_int(oci_state_write_crun(&st, &out, &err), -EINVAL);
		check(strstr(err.text, "refusing to record") && err.hint[0]);
		check_int(out.len, 0);
	}
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		cleanup_buf struct buf out = BUF_INIT;
		struct err err = ERR_INIT;

		st.cgroup_path = good[i];
		check(oci_cgroup_is_own(good[i]));
		check_int(oci_state_write_crun(&st, &out, &err), 0);
	}
}

TEST(crun_without_a_cgroup)
{
	struct oci_state st = { .runtime = OCI_CRUN,
				.id = "x",
				.pid = 5,
				.bundle = "/b",
				.rootfs = "r",
				.created = "t",
				.no_cgroup = true };
	cleanup_buf struct buf out = BUF_INIT;
	struct err err = ERR_INIT;

	check_int(oci_state_write_crun(&st, &out, &err), 0);
	check(strstr(out.data, "\"cgroup-path\": \"\""));
	/* always a text with a list inside: crun reads it without looking */
	check(strstr(out.data, "\"external_descriptors\": \"[]\""));
	st.cgroup_path = "/a";
	check_int(oci_state_write_crun(&st, &out, &err), -EINVAL);
}

TEST(an_incomplete_state_is_not_written)
{
	struct oci_state st = { .runtime = OCI_CRUN,
				.id = "x",
				.pid = 5,
				.bundle = "/b",
				.rootfs = "r",
				.created = "t",
				.cgroup_path = "/a" };
	cleanup_buf struct buf out = BUF_INIT;
	struct err err = ERR_INIT;

	st.pid = 0;
	check_int(oci_state_write_crun(&st, &out, &err), -EINVAL);
	check_str(err.text, "writing the container's state: pid is not set");
	st.pid = 5;
	st.bundle = "relative";
	check_int(oci_state_write_crun(&st, &out, &err), -EINVAL);
	check_str(err.text, "writing the container's state: bundle is not set");
	st.bundle = "/b";
	st.created = NULL;
	check_int(oci_state_write_crun(&st, &out, &err), -EINVAL);
}

TEST(runc_with_nothing_changed_is_the_same_bytes)
{
	cleanup_oci_state struct oci_state st = { 0 };
	cleanup_buf struct buf b = BUF_INIT, out = BUF_INIT;
	struct err err = ERR_INIT;

	load("state-runc.json", &b);
	check_int(oci_state_parse_runc(&st, "state.json", b.data, b.len, &err), 0);
	check_int(oci_state_write_runc(&st, NULL, "state.json", b.data, b.len, &out, &err), 0);
	check_str(out.data, b.data);
}

static const char saved[] =
	"{\"id\":\"old\",\"init_process_pid\":10,\"init_process_start\":11,\"created\":\"t0\","
	"\"config\":{\"no_pivot_root\":false,\"rootfs\":\"/old/rootfs\",\"umask\":null,"
	"\"memory\":18446744073709551615,\"namespaces\":[{\"type\":\"NEWPID\",\"path\":\"\"},"
	"{\"type\":\"NEWNET\",\"path\":\"/run/netns/a\"}],\"cgroups\":{\"path\":\"/"
	"old\",\"x\":1.50},"
	"\"labels\":[\"a=b\",\"bundle=/old\"]},\"rootless\":false,"
	"\"cgroup_paths\":{\"\":\"/sys/fs/cgroup/old\"},"
	"\"namespace_paths\":{\"NEWNET\":\"/proc/10/ns/net\",\"NEWNS\":\"/proc/10/ns/"
	"mnt\",\"NEWX\":"
	"\"/x\"},\"external_descriptors\":[\"/dev/null\",\"pipe:[1]\",\"pipe:[1]\"],"
	"\"intel_rdt_path\":\"\",\"later\":{\"k\":[1e5]}}";

static struct oci_pair unified[] = { { "", "/sys/fs/cgroup/new" } };
static const char *streams[] = { "/dev/null", "pipe:[2]", "pipe:[3]" };

static struct oci_state restored(void)
{
	return (struct oci_state){ .runtime = OCI_RUNC,
				   .id = "new",
				   .pid = 77,
				   .start_time = 78,
				   .created = "t1",
				   .bundle = "/new",
				   .rootfs = "/new/rootfs",
				   .cgroup_paths = { .v = unified, .n = 1 },
				   .descriptors = { .v = streams, .n = 3 } };
}

TEST(runc_changes_only_what_changed)
{
	static const char config[] =
		"{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"rootfs\"},\"linux\":{"
		"\"cgroupsPath\":\"/new\",\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"network\","
		"\"path\":\"/run/netns/b\"}]}}";
	static const char expected[] =
		"{\"id\":\"new\",\"init_process_pid\":77,\"init_process_start\":78,\"created\":"
		"\"t1\","
		"\"config\":{\"no_pivot_root\":false,\"rootfs\":\"/new/rootfs\",\"umask\":null,"
		"\"memory\":18446744073709551615,\"namespaces\":[{\"type\":\"NEWPID\",\"path\":"
		"\"\"},"
		"{\"type\":\"NEWNET\",\"path\":\"/run/netns/b\"}],\"cgroups\":{\"path\":\"/"
		"new\",\"x\":"
		"1.50},\"labels\":[\"a=b\",\"bundle=/new\"]},\"rootless\":false,"
		"\"cgroup_paths\":{\"\":\"/sys/fs/cgroup/new\"},"
		"\"namespace_paths\":{\"NEWNET\":\"/proc/77/ns/net\",\"NEWNS\":\"/proc/77/ns/mnt\","
		"\"NEWX\":\"/x\"},\"external_descriptors\":[\"/dev/"
		"null\",\"pipe:[2]\",\"pipe:[3]\"],"
		"\"intel_rdt_path\":\"\",\"later\":{\"k\":[1e5]}}";
	cleanup_oci_spec struct oci_spec spec = { 0 };
	struct oci_state st = restored();
	cleanup_buf struct buf out = BUF_INIT;
	struct err err = ERR_INIT;

	check_int(oci_spec_parse(&spec, "config.json", config, strlen(config), &err), 0);
	check_int(oci_state_write_runc(&st, &spec, "state.json", saved, strlen(saved), &out, &err),
		  0);
	check_str(out.data, expected);
}

TEST(runc_under_systemd_gets_the_name_of_the_new_unit)
{
	static const char config[] = "{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"rootfs\"},"
				     "\"linux\":{\"cgroupsPath\":\"machine.slice:libpod:new\"}}";
	cleanup_oci_spec struct oci_spec spec = { 0 };
	struct oci_state st = restored();
	cleanup_buf struct buf out = BUF_INIT;
	struct err err = ERR_INIT;

	st.systemd_cgroup = true;
	check_int(oci_spec_parse(&spec, "config.json", config, strlen(config), &err), 0);
	check_int(oci_state_write_runc(&st, &spec, "state.json", saved, strlen(saved), &out, &err),
		  0);
	check(strstr(out.data, "\"parent\":\"machine.slice\",\"scope_prefix\":\"libpod\",\"name\":"
			       "\"new\""));
}

TEST(runc_is_never_given_a_root_cgroup)
{
	static const struct {
		struct oci_pair v[2];
		size_t n;
		int result;
	} cases[] = {
		{ { { "", "/sys/fs/cgroup/x" } }, 1, 0 },
		{ { { "", "/sys/fs/cgroup" } }, 1, -EINVAL },
		{ { { "", "/sys/fs/cgroup/" } }, 1, -EINVAL },
		{ { { "", "/" } }, 1, -EINVAL },
		{ { { "", "" } }, 1, -EINVAL },
		{ { { "", "/sys/fs/cgroup/x/.." } }, 1, -EINVAL },
		{ { { "", "sys/fs/cgroup/x" } }, 1, -EINVAL },
		{ { { "cpu", "/sys/fs/cgroup/cpu/x" } }, 1, 0 },
		{ { { "cpu", "/sys/fs/cgroup/cpu" } }, 1, -EINVAL },
		{ { { "cpu", "/sys/fs/cgroup/cpu/x" }, { "", "/sys/fs/cgroup/unified/x" } }, 2, 0 },
		{ { { "cpu", "/sys/fs/cgroup/cpu/x" }, { "", "/sys/fs/cgroup/unified" } },
		  2,
		  -EINVAL },
		{ { { 0 } }, 0, -EINVAL }, /* the saved one has a cgroup */
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct oci_state st = restored();
		cleanup_buf struct buf out = BUF_INIT;
		struct err err = ERR_INIT;

		st.cgroup_paths =
			(struct oci_pairs){ .v = (struct oci_pair *)cases[i].v, .n = cases[i].n };
		check_int(oci_state_write_runc(&st, NULL, "state.json", saved, strlen(saved), &out,
					       &err),
			  cases[i].result);
		check_int(out.len != 0, cases[i].result == 0);
	}
}

TEST(runc_with_a_broken_saved_file)
{
	struct oci_state st = restored();
	cleanup_buf struct buf out = BUF_INIT;
	struct err err = ERR_INIT;

	for (size_t len = 0; len < strlen(saved); len++)
		check_int(oci_state_write_runc(&st, NULL, "state.json", saved, len, &out, &err),
			  -EBADMSG);
	check_int(out.len, 0);
}

TEST_MAIN()
