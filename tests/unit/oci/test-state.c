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

TEST(status_of_crun)
{
	cleanup_oci_state struct oci_state st = { 0 };
	cleanup_buf struct buf b = BUF_INIT;
	struct err err = ERR_INIT;

	load("status-crun.json", &b);
	if (!check_int(oci_state_parse_crun(&st, "web", "status", b.data, b.len, &err), 0))
		return;
	check_int(st.runtime, OCI_CRUN);
	check_str(st.id, "web");
	check_int(st.pid, 4312);
	check_int(st.start_time, 134953);
	check_str(st.cgroup_path, "/crun/web");
	check_str(st.rootfs, "rootfs");
	check_str(st.bundle, "/srv/bundles/web");
	check_str(st.created, "2024-05-01T10:00:00.000001Z");
	check_str(st.owner, "root");
	check(st.detached && !st.systemd_cgroup && !st.no_cgroup && !st.scope);
	check_int(st.descriptors.n, 3);
	check_str(st.descriptors.v[1], "pipe:[8101]");
}

TEST(crun_without_cgroup_or_descriptors)
{
	static const char text[] =
		"{\"pid\":-1,\"cgroup-path\":\"\",\"rootfs\":\"/r\","
		"\"bundle\":\"/b\",\"created\":\"x\",\"scope\":\"crun-x.scope\"}";
	cleanup_oci_state struct oci_state st = { 0 };
	struct err err = ERR_INIT;

	check_int(oci_state_parse_crun(&st, "x", "status", text, strlen(text), &err), 0);
	check(st.no_cgroup);
	check_int(st.pid, 0);
	check_int(st.descriptors.n, 0);
	check_str(st.scope, "crun-x.scope");
	check(!st.owner);
}

TEST(state_of_runc)
{
	cleanup_oci_state struct oci_state st = { 0 };
	cleanup_buf struct buf b = BUF_INIT;
	struct err err = ERR_INIT;

	load("state-runc.json", &b);
	if (!check_int(oci_state_parse_runc(&st, "state.json", b.data, b.len, &err), 0))
		return;
	check_int(st.runtime, OCI_RUNC);
	check_str(st.id, "web");
	check_int(st.pid, 4312);
	check_int(st.start_time, 134953);
	check_str(st.bundle, "/srv/bundles/web");
	check_str(st.rootfs, "/srv/bundles/web/rootfs");
	check(!st.systemd_cgroup && !st.rootless);
	check_int(st.cgroup_paths.n, 10);
	check_str(oci_pairs_get(&st.cgroup_paths, "freezer"), "/sys/fs/cgroup/freezer/web");
	check_str(oci_pairs_get(&st.cgroup_paths, ""), "/sys/fs/cgroup/unified/web");
	check_str(oci_pairs_get(&st.namespaces, "NEWNET"), "/proc/4312/ns/net");
	check_int(st.descriptors.n, 3);
}

TEST(bad_status)
{
	static const struct {
		const char *text, *error;
	} cases[] = {
		{ "", "status: line 1: not valid JSON: parse error: premature EOF" },
		{ "[]", "status: expected an object, found a list" },
		{ "{}", "status: pid is missing" },
		{ "{\"pid\":\"1\"}",
		  "status: pid: expected a whole number of 64 bits, found a string ('1')" },
		{ "{\"pid\":1,\"rootfs\":\"/\",\"bundle\":\"/\",\"created\":\"x\"}",
		  "status: cgroup-path is missing" },
		{ "{\"pid\":9999999999,\"cgroup-path\":\"/x\",\"rootfs\":\"/\",\"bundle\":\"/\","
		  "\"created\":\"x\"}",
		  "status: pid: no process can have this number" },
		{ "{\"pid\":99999999999999999999,\"cgroup-path\":\"/x\"}",
		  "status: pid: expected a whole number of 64 bits, found a number "
		  "('99999999999999999999')" },
		{ "{\"pid\":1,\"process-start-time\":-1}",
		  "status: process-start-time: expected a whole number from 0 to "
		  "18446744073709551615, found a number ('-1')" },
		{ "{\"pid\":1,\"cgroup-path\":\"/x\",\"rootfs\":\"/\",\"bundle\":\"/\","
		  "\"created\":\"x\",\"external_descriptors\":[\"/dev/null\"]}",
		  "status: external_descriptors: expected a string, found a list" },
		{ "{\"pid\":1,\"cgroup-path\":\"/x\",\"rootfs\":\"/\",\"bundle\":\"/\","
		  "\"created\":\"x\",\"external_descriptors\":\"[5]\"}",
		  "status: external_descriptors: [0]: expected a string, found a number" },
		{ "{\"pid\":1,\"cgroup-path\":\"/x\",\"rootfs\":\"/\",\"bundle\":\"/\","
		  "\"created\":\"x\",\"external_descriptors\":\"[\"}",
		  NULL },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cleanup_oci_state struct oci_state st = { 0 };
		struct err err = ERR_INIT;

		check_int(oci_state_parse_crun(&st, "x", "status", cases[i].text,
					       strlen(cases[i].text), &err),
			  -EBADMSG);
		if (cases[i].error)
			check_str(err.text, cases[i].error);
		check(!st.arena.blocks);
	}
}

TEST(bad_state_of_runc)
{
	static const struct {
		const char *text, *error;
	} cases[] = {
		{ "{}", "state.json: id is missing" },
		{ "{\"id\":\"x\",\"init_process_pid\":1,\"init_process_start\":2,\"created\":"
		  "\"t\"}",
		  "state.json: config is missing" },
		{ "{\"id\":\"x\",\"init_process_pid\":1,\"init_process_start\":2,\"created\":\"t\","
		  "\"config\":{}}",
		  "state.json: config.rootfs is missing" },
		{ "{\"id\":\"x\",\"init_process_pid\":1,\"init_process_start\":2,\"created\":\"t\","
		  "\"config\":{\"rootfs\":\"/r\"},\"cgroup_paths\":{\"cpu\":1}}",
		  "state.json: cgroup_paths.cpu: expected a string, found a number ('1')" },
		{ "{\"id\":\"x\",\"init_process_pid\":1,\"init_process_start\":2,\"created\":\"t\","
		  "\"config\":{\"rootfs\":\"/r\",\"labels\":[{}]}}",
		  "state.json: config.labels[0]: expected a string, found an object" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cleanup_oci_state struct oci_state st = { 0 };
		struct err err = ERR_INIT;

		check_int(oci_state_parse_runc(&st, "state.json", cases[i].text,
					       strlen(cases[i].text), &err),
			  -EBADMSG);
		check_str(err.text, cases[i].error);
	}
}

TEST(descriptors_both_ways)
{
	static const char text[] = "[\"/dev/null\",\"pipe:[1]\",\"a\\\"b\"]";
	cleanup_buf struct buf b = BUF_INIT;
	struct oci_strings v = { 0 };
	struct arena a = { 0 };
	struct err err = ERR_INIT;

	check_int(oci_descriptors_parse(&a, "descriptors.json", text, strlen(text), &v, &err), 0);
	check_int(v.n, 3);
	check_int(oci_descriptors_write(&v, &b, &err), 0);
	check_str(b.data, text);
	check_int(oci_descriptors_parse(&a, "descriptors.json", "{}", 2, &v, &err), -EBADMSG);
	check_str(err.text, "descriptors.json: expected a list of strings, found an object");
	arena_done(&a);
}

TEST(systemd_form_of_cgroups_path)
{
	const char *slice, *prefix, *name;
	struct arena a = { 0 };

	check(oci_cgroups_path_split(&a, "machine.slice:libpod:5f", &slice, &prefix, &name));
	check_str(slice, "machine.slice");
	check_str(prefix, "libpod");
	check_str(name, "5f");
	check(oci_cgroups_path_split(&a, "::x", &slice, &prefix, &name));
	check_str(slice, "");
	check(!oci_cgroups_path_split(&a, "/a/b", &slice, &prefix, &name));
	check(!oci_cgroups_path_split(&a, "a:b", &slice, &prefix, &name));
	check(!oci_cgroups_path_split(&a, "a:b:", &slice, &prefix, &name));
	check(!oci_cgroups_path_split(&a, "a:b:c:d", &slice, &prefix, &name));
	arena_done(&a);
}

TEST_MAIN()
