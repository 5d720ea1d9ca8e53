/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "oci/spec.h"

#include <errno.h>
#include <fcntl.h>

#include "engine/base/io.h"
#include "oci/path.h"
#include "tests/lib/test.h"

#define HEAD "{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"rootfs\"}"

static int parse(struct oci_spec *spec, const char *text, struct err *err)
{
	return oci_spec_parse(spec, "config.json", text, strlen(text), err);
}

static bool load(struct oci_spec *spec, const char *name)
{
	cleanup_buf struct buf b = BUF_INIT;
	struct err err = ERR_INIT;
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", getenv("GOLDEN_DIR") ?: "golden", name);
	if (!check_int(io_read_file(AT_FDCWD, path, &b), 0))
		return false;
	return check_int(oci_spec_parse(spec, name, b.data, b.len, &err), 0) ||
	       check_str(err.text, "");
}

TEST(the_least_that_is_accepted)
{
	cleanup_oci_spec struct oci_spec spec = { 0 };
	struct err err = ERR_INIT;

	check_int(parse(&spec, HEAD "}", &err), 0);
	check_str(spec.oci_version, "1.0.2");
	check_str(spec.root_path, "rootfs");
	check(!spec.root_readonly && !spec.has_process && !spec.hostname);
	check_int(spec.mounts.n, 0);
	check_int(spec.linux_.namespaces.n, 0);
	check(!oci_spec_ns(&spec, OCI_NS_PID));
}

TEST(null_counts_as_absent_and_unknown_keys_are_ignored)
{
	cleanup_oci_spec struct oci_spec spec = { 0 };
	struct err err = ERR_INIT;

	check_int(parse(&spec,
			HEAD ",\"mounts\":null,\"process\":null,\"windows\":{\"a\":[1]},"
			     "\"linux\":{\"namespaces\":null,\"maskedPaths\":null,"
			     "\"cgroupsPath\":null,\"future\":true},\"hooks\":{}}",
			&err),
		  0);
	check(!spec.has_process && !spec.linux_.cgroups_path);
}

TEST(everything_that_is_read)
{
	cleanup_oci_spec struct oci_spec spec = { 0 };
	const struct oci_mount *m;

	if (!load(&spec, "podman.json"))
		return;
	check(spec.has_process && spec.process.terminal && spec.process.has_capabilities);
	check(spec.process.no_new_privileges && !spec.root_readonly);
	check_int(spec.process.uid, 1001);
	check_int(spec.process.gid, 0);
	check_int(spec.process.args.n, 3);
	check_str(spec.process.args.v[2], "sleep 1d");
	check_str(spec.process.cwd, "/srv");
	check_str(spec.process.apparmor_profile, "containers-default");
	check_int(spec.process.rlimits.n, 1);
	check(spec.process.rlimits.v[0].hard == UINT64_MAX);
	check_str(spec.hostname, "web");
	check_int(spec.linux_.devices.n, 1);
	check_str(spec.linux_.devices.v[0].path, "/dev/fuse");
	check_int(spec.linux_.devices.v[0].major, 10);
	check(spec.linux_.has_resources && spec.linux_.has_seccomp);
	check_str(spec.linux_.cgroups_path, "machine.slice:libpod:5f2d");
	check_str(oci_spec_ns(&spec, OCI_NS_NETWORK)->path, "/run/netns/netns-8d1b");
	check(oci_spec_ns(&spec, OCI_NS_PID) && !oci_spec_ns(&spec, OCI_NS_PID)->path);
	check(!oci_spec_ns(&spec, OCI_NS_USER));
	check_str(oci_pairs_get(&spec.linux_.sysctl, "net.ipv4.ping_group_range"), "0 0");
	check_str(oci_pairs_get(&spec.annotations, "io.podman.annotations.autoremove"), "FALSE");
	check(!oci_pairs_get(&spec.annotations, "none"));
	check_int(spec.hooks.prestart.n, 0);
	check_int(spec.hooks.poststop.n, 1);
	check_str(spec.hooks.poststop.v[0].path, "/usr/libexec/note-exit");
	check_int(spec.hooks.poststop.v[0].timeout_s, 10);
	check(!oci_spec_has_network_hooks(&spec));
	m = &spec.mounts.v[spec.mounts.n - 1];
	check(oci_mount_is_bind(m) && oci_mount_has_option(m, "ro"));
	check(!oci_mount_has_option(m, "r"));
}

TEST(specs_of_the_runtimes)
{
	static const char *const files[] = { "crun.json", "runc.json", "crun-rootless.json",
					     "runc-rootless.json", "crio.json" };

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		cleanup_oci_spec struct oci_spec spec = { 0 };

		check(load(&spec, files[i]));
		check(spec.mounts.n >= 7 && spec.linux_.namespaces.n >= 5);
		check_int(spec.linux_.masked_paths.n > 8, 1);
	}
}

static const struct {
	const char *text, *error;
} bad[] = {
	{ "[]", "config.json: expected an object, found a list" },
	{ "5", "config.json: expected an object, found a number" },
	{ "{}", "config.json: ociVersion is missing" },
	{ "{\"ociVersion\":null}", "config.json: ociVersion is null, but it is required" },
	{ "{\"ociVersion\":1}",
	  "config.json: ociVersion: expected a string, found a number ('1')" },
	{ "{\"ociVersion\":\"\"}", "config.json: ociVersion: must not be empty" },
	{ "{\"ociVersion\":\"1.0.2\"}", "config.json: root is missing" },
	{ "{\"ociVersion\":\"1.0.2\",\"root\":\"/\"}",
	  "config.json: root: expected an object, found a string ('/')" },
	{ "{\"ociVersion\":\"1.0.2\",\"root\":{}}", "config.json: root.path is missing" },
	{ "{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"\"}}",
	  "config.json: root.path: must not be empty" },
	{ "{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"r\",\"readonly\":\"yes\"}}",
	  "config.json: root.readonly: expected true or false, found a string ('yes')" },
	{ "{\"ociVersion\":\"2.0\",\"root\":{\"path\":\"r\"}}",
	  "config.json: ociVersion: a version that cannot be read" },
	{ HEAD ",\"mounts\":{}}",
	  "config.json: mounts: expected a list of objects, found an object" },
	{ HEAD ",\"mounts\":[5]}",
	  "config.json: mounts[0]: expected an object, found a number ('5')" },
	{ HEAD ",\"mounts\":[{\"destination\":\"/a\"},{\"type\":\"bind\"}]}",
	  "config.json: mounts[1].destination is missing" },
	{ HEAD ",\"mounts\":[{\"destination\":\"/a\",\"options\":[\"ro\",7]}]}",
	  "config.json: mounts[0].options[1]: expected a string, found a number ('7')" },
	{ HEAD ",\"mounts\":[{\"destination\":\"/a\",\"options\":\"ro\"}]}",
	  "config.json: mounts[0].options: expected a list of strings, found a string ('ro')" },
	{ HEAD ",\"process\":{\"terminal\":1}}",
	  "config.json: process.terminal: expected true or false, found a number ('1')" },
	{ HEAD ",\"process\":{\"args\":\"sh\"}}",
	  "config.json: process.args: expected a list of strings, found a string ('sh')" },
	{ HEAD ",\"process\":{\"user\":{\"uid\":-1}}}",
	  "config.json: process.user.uid: expected a whole number from 0 to 4294967295, found a "
	  "number ('-1')" },
	{ HEAD ",\"process\":{\"user\":{\"uid\":4294967296}}}",
	  "config.json: process.user.uid: expected a whole number from 0 to 4294967295, found a "
	  "number ('4294967296')" },
	{ HEAD ",\"process\":{\"user\":{\"uid\":1.0}}}",
	  "config.json: process.user.uid: expected a whole number from 0 to 4294967295, found a "
	  "number ('1.0')" },
	{ HEAD ",\"process\":{\"user\":{\"uid\":99999999999999999999999999}}}",
	  "config.json: process.user.uid: expected a whole number from 0 to 4294967295, found a "
	  "number ('99999999999999999999999999')" },
	{ HEAD ",\"process\":{\"rlimits\":[{\"type\":\"RLIMIT_CORE\",\"soft\":1}]}}",
	  "config.json: process.rlimits[0].hard is missing" },
	{ HEAD ",\"process\":{\"capabilities\":[]}}",
	  "config.json: process.capabilities: expected an object, found a list" },
	{ HEAD ",\"linux\":{\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"ipc\"},{\"type\":5}]}}",
	  "config.json: linux.namespaces[2].type: expected a string, found a number ('5')" },
	{ HEAD ",\"linux\":{\"namespaces\":[{\"type\":\"network \"}]}}",
	  "config.json: linux.namespaces[0].type: unknown word 'network ', known are: pid, "
	  "network, "
	  "mount, ipc, uts, user, cgroup, time" },
	{ HEAD ",\"linux\":{\"namespaces\":[{\"path\":\"/x\"}]}}",
	  "config.json: linux.namespaces[0].type is missing" },
	{ HEAD ",\"linux\":{\"namespaces\":[{\"type\":\"ipc\",\"path\":\"run/x\"}]}}",
	  "config.json: linux.namespaces[0].path: expected an absolute path" },
	{ HEAD
	  ",\"linux\":{\"namespaces\":[{\"type\":\"ipc\"},{\"type\":\"pid\"},{\"type\":\"ipc\"}]}}",
	  "config.json: linux.namespaces[2].type: namespace type 'ipc' is there twice" },
	{ HEAD ",\"linux\":{\"uidMappings\":[{\"containerID\":0,\"size\":1}]}}",
	  "config.json: linux.uidMappings[0].hostID is missing" },
	{ HEAD ",\"linux\":{\"maskedPaths\":[\"/a\",\"proc/kcore\"]}}",
	  "config.json: linux.maskedPaths[1]: expected an absolute path" },
	{ HEAD ",\"linux\":{\"readonlyPaths\":[\"\"]}}",
	  "config.json: linux.readonlyPaths[0]: expected an absolute path" },
	{ HEAD ",\"linux\":{\"devices\":[{\"type\":\"c\",\"path\":\"dev/x\"}]}}",
	  "config.json: linux.devices[0].path: expected an absolute path" },
	{ HEAD ",\"linux\":{\"sysctl\":{\"kernel.x\":1}}}",
	  "config.json: linux.sysctl[\"kernel.x\"]: expected a string, found a number ('1')" },
	{ HEAD ",\"linux\":{\"seccomp\":false}}",
	  "config.json: linux.seccomp: expected an object, found a truth value" },
	{ HEAD ",\"annotations\":{\"a.b\":null}}",
	  "config.json: annotations[\"a.b\"]: expected a string, found null" },
	{ HEAD ",\"hooks\":{\"prestart\":[{\"args\":[]}]}}",
	  "config.json: hooks.prestart[0].path is missing" },
	{ HEAD ",\"hooks\":{\"poststop\":[{\"path\":\"/x\",\"timeout\":-1}]}}",
	  "config.json: hooks.poststop[0].timeout: expected a whole number from 0 to 4294967295, "
	  "found a number ('-1')" },
	{ HEAD ",\"hostname\":\"a\\u0000b\"}",
	  "config.json: hostname: a string with a zero byte inside" },
	{ HEAD ",\"root\":{\"path\":\"other\"}}", "config.json: root: this key is there twice" },
	{ HEAD ",\"hostname\":\"\\u001b[31m\",\"mounts\":\"\\u001b[31m\"}",
	  "config.json: mounts: expected a list of objects, found a string ('?[31m')" },
};

TEST(errors_name_the_place)
{
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		cleanup_oci_spec struct oci_spec spec = { 0 };
		struct err err = ERR_INIT;

		check_int(parse(&spec, bad[i].text, &err), -EBADMSG);
		check_str(err.text, bad[i].error);
		check_int(err.class, ERR_IMAGE);
		check(!spec.arena.blocks);
	}
}

TEST(errors_have_a_remedy)
{
	cleanup_oci_spec struct oci_spec spec = { 0 };
	struct err err = ERR_INIT;

	check_int(parse(&spec, HEAD ",\"linux\":{\"namespaces\":[{\"type\":\"net\"}]}}", &err),
		  -EBADMSG);
	check_str(err.hint, "use one of the namespace types of the OCI runtime specification");
	check_int(parse(&spec, HEAD ",\"process\":{\"args\":5}}", &err), -EBADMSG);
	check_str(err.hint, "the command is a list of strings, one for each argument");
	check_int(parse(&spec, HEAD, &err), -EBADMSG);
	check_str(err.hint, "the file is damaged or was cut short");
}

TEST(every_truncation_is_refused)
{
	cleanup_buf struct buf b = BUF_INIT;
	char path[4096];

	snprintf(path, sizeof(path), "%s/podman.json", getenv("GOLDEN_DIR") ?: "golden");
	if (!check_int(io_read_file(AT_FDCWD, path, &b), 0))
		return;
	while (b.len && b.data[b.len - 1] == '\n')
		b.len--;
	for (size_t len = 0; len < b.len; len++) {
		cleanup_oci_spec struct oci_spec spec = { 0 };
		struct err err = ERR_INIT;
		/* An exact copy, so that a sanitizer sees a byte too far. */
		char *text = malloc(len ?: 1);

		memcpy(text, b.data, len);
		check_int(oci_spec_parse(&spec, "config.json", text, len, &err), -EBADMSG);
		free(text);
	}
}

TEST(long_paths_and_lists_are_refused)
{
	cleanup_oci_spec struct oci_spec spec = { 0 };
	cleanup_buf struct buf b = BUF_INIT;
	struct err err = ERR_INIT;

	buf_printf(&b, HEAD ",\"mounts\":[{\"destination\":\"/");
	for (int i = 0; i < 4096; i++)
		buf_append(&b, "a", 1);
	buf_printf(&b, "\"}]}");
	check_int(oci_spec_parse(&spec, "c", b.data, b.len, &err), -EBADMSG);
	check_str(err.text,
		  "c: mounts[0].destination: a path of 4097 bytes, the kernel takes 4095");
	b.len = 0;
	buf_printf(&b, HEAD ",\"linux\":{\"maskedPaths\":[\"/\"");
	for (int i = 0; i < 2048; i++)
		buf_printf(&b, ",\"/\"");
	buf_printf(&b, "]}}");
	check_int(oci_spec_parse(&spec, "c", b.data, b.len, &err), -EBADMSG);
	check_str(err.text, "c: linux.maskedPaths: 2049 entries, more than the 2048 that are "
			    "accepted");
}

TEST(binds_are_known_by_type_and_option)
{
	static const struct {
		const char *mount;
		bool bind;
	} cases[] = {
		{ "{\"destination\":\"/a\",\"type\":\"bind\"}", true },
		{ "{\"destination\":\"/a\",\"type\":\"none\",\"options\":[\"rbind\"]}", true },
		{ "{\"destination\":\"/a\",\"options\":[\"ro\",\"bind\"]}", true },
		{ "{\"destination\":\"/a\",\"type\":\"tmpfs\",\"options\":[\"rbindx\"]}", false },
		{ "{\"destination\":\"/a\"}", false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cleanup_oci_spec struct oci_spec spec = { 0 };
		struct err err = ERR_INIT;
		char text[512];

		snprintf(text, sizeof(text), HEAD ",\"mounts\":[%s]}", cases[i].mount);
		if (check_int(parse(&spec, text, &err), 0))
			check_int(oci_mount_is_bind(&spec.mounts.v[0]), cases[i].bind);
	}
}

TEST(paths_are_cleaned)
{
	static const struct {
		const char *base, *path, *clean;
	} cases[] = {
		{ "/b", "/x/y", "/x/y" },     { "/b", "x", "/b/x" },
		{ "/b/c", "../x", "/b/x" },   { "/b", "../../../x", "/x" },
		{ "/", "//a//./b/", "/a/b" }, { "/", "", "/" },
		{ "/", "..", "/" },	      { "/b", "", "/b" },
		{ "/b", ".", "/b" },	      { "/", "a/...", "/a/..." },
		{ "/", "/a/b/../c", "/a/c" }, { "/", "/a/..", "/" },
	};
	struct arena a = { 0 };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check_str(oci_path_clean(&a, cases[i].base, cases[i].path), cases[i].clean);
	check(oci_path_is_under("/a/b", "/a") && oci_path_is_under("/a", "/a"));
	check(oci_path_is_under("/a", "/") && !oci_path_is_under("/ab", "/a"));
	check(!oci_path_is_under("/", "/a"));
	arena_done(&a);
}

TEST_MAIN()
