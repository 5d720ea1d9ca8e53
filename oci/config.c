/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* config.json: one table for each object of the specification, then the rules tables cannot say. */
#include "oci/spec.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "oci/decode.h"

#define AT(type, member) offsetof(struct type, member)

static const char *const ns_words[] = { "pid",	"network", "mount", "ipc", "uts",
					"user", "cgroup",  "time",  NULL };

static const struct field id_map_fields[] = {
	{ "containerID", FIELD_U32, AT(oci_id_map, container_id), .required = true },
	{ "hostID", FIELD_U32, AT(oci_id_map, host_id), .required = true },
	{ "size", FIELD_U32, AT(oci_id_map, size), .required = true },
};
static const struct schema id_map_schema = SCHEMA(id_map_fields, struct oci_id_map);

static const struct field mount_fields[] = {
	{ "destination", FIELD_PATH, AT(oci_mount, destination), .required = true,
	  .hint = "a mount needs the path inside the container that it goes to" },
	{ "type", FIELD_STRING, AT(oci_mount, type) },
	{ "source", FIELD_PATH, AT(oci_mount, source) },
	{ "options", FIELD_STRINGS, AT(oci_mount, options),
	  .hint = "mount options are a list of strings, such as [\"rbind\", \"ro\"]" },
	{ "uidMappings", FIELD_LIST, AT(oci_mount, uid_mappings), .sub = &id_map_schema },
	{ "gidMappings", FIELD_LIST, AT(oci_mount, gid_mappings), .sub = &id_map_schema },
};
static const struct schema mount_schema = SCHEMA(mount_fields, struct oci_mount);

static const struct field rlimit_fields[] = {
	{ "type", FIELD_STRING, AT(oci_rlimit, type), .required = true },
	{ "hard", FIELD_U64, AT(oci_rlimit, hard), .required = true },
	{ "soft", FIELD_U64, AT(oci_rlimit, soft), .required = true },
};
static const struct schema rlimit_schema = SCHEMA(rlimit_fields, struct oci_rlimit);

static const struct field user_fields[] = {
	{ "uid", FIELD_U32, AT(oci_process, uid) },
	{ "gid", FIELD_U32, AT(oci_process, gid) },
};
static const struct schema user_schema = SCHEMA(user_fields, struct oci_process);

static const struct field process_fields[] = {
	{ "terminal", FIELD_BOOL, AT(oci_process, terminal) },
	/* uid and gid lie in the process itself */
	{ "user", FIELD_OBJECT, 0, .sub = &user_schema },
	{ "args", FIELD_STRINGS, AT(oci_process, args),
	  .hint = "the command is a list of strings, one for each argument" },
	{ "cwd", FIELD_PATH, AT(oci_process, cwd) },
	{ "capabilities", FIELD_PRESENT, AT(oci_process, has_capabilities) },
	{ "noNewPrivileges", FIELD_BOOL, AT(oci_process, no_new_privileges) },
	{ "rlimits", FIELD_LIST, AT(oci_process, rlimits), .sub = &rlimit_schema },
	{ "apparmorProfile", FIELD_STRING, AT(oci_process, apparmor_profile) },
	{ "selinuxLabel", FIELD_STRING, AT(oci_process, selinux_label) },
};
static const struct schema process_schema = SCHEMA(process_fields, struct oci_process);

static const struct field namespace_fields[] = {
	{ "type", FIELD_WORD, AT(oci_namespace, type), .required = true, .words = ns_words,
	  .hint = "use one of the namespace types of the OCI runtime specification" },
	{ "path", FIELD_PATH, AT(oci_namespace, path),
	  .hint = "the file of the namespace to join, such as /run/netns/NAME" },
};
static const struct schema namespace_schema = SCHEMA(namespace_fields, struct oci_namespace);

static const struct field device_fields[] = {
	{ "path", FIELD_PATH, AT(oci_device, path), .required = true },
	{ "type", FIELD_STRING, AT(oci_device, type), .required = true,
	  .hint = "a device type is one of c, b, u, p" },
	{ "major", FIELD_I64, AT(oci_device, major) },
	{ "minor", FIELD_I64, AT(oci_device, minor) },
	{ "fileMode", FIELD_U32, AT(oci_device, file_mode) },
	{ "uid", FIELD_U32, AT(oci_device, uid) },
	{ "gid", FIELD_U32, AT(oci_device, gid) },
};
static const struct schema device_schema = SCHEMA(device_fields, struct oci_device);

static const struct field hook_fields[] = {
	{ "path", FIELD_PATH, AT(oci_hook, path), .required = true,
	  .hint = "a hook needs the absolute path of its program" },
	{ "args", FIELD_STRINGS, AT(oci_hook, args) },
	{ "env", FIELD_STRINGS, AT(oci_hook, env) },
	{ "timeout", FIELD_U32, AT(oci_hook, timeout_s) },
};
static const struct schema hook_schema = SCHEMA(hook_fields, struct oci_hook);

static const struct field hooks_fields[] = {
	{ "prestart", FIELD_LIST, AT(oci_hooks, prestart), .sub = &hook_schema },
	{ "createRuntime", FIELD_LIST, AT(oci_hooks, create_runtime), .sub = &hook_schema },
	{ "createContainer", FIELD_LIST, AT(oci_hooks, create_container), .sub = &hook_schema },
	{ "startContainer", FIELD_LIST, AT(oci_hooks, start_container), .sub = &hook_schema },
	{ "poststart", FIELD_LIST, AT(oci_hooks, poststart), .sub = &hook_schema },
	{ "poststop", FIELD_LIST, AT(oci_hooks, poststop), .sub = &hook_schema },
};
static const struct schema hooks_schema = SCHEMA(hooks_fields, struct oci_hooks);

static const struct field linux_fields[] = {
	{ "namespaces", FIELD_LIST, AT(oci_linux, namespaces), .sub = &namespace_schema },
	{ "uidMappings", FIELD_LIST, AT(oci_linux, uid_mappings), .sub = &id_map_schema },
	{ "gidMappings", FIELD_LIST, AT(oci_linux, gid_mappings), .sub = &id_map_schema },
	{ "cgroupsPath", FIELD_PATH, AT(oci_linux, cgroups_path) },
	{ "rootfsPropagation", FIELD_STRING, AT(oci_linux, rootfs_propagation) },
	{ "mountLabel", FIELD_STRING, AT(oci_linux, mount_label) },
	{ "resources", FIELD_PRESENT, AT(oci_linux, has_resources) },
	{ "seccomp", FIELD_PRESENT, AT(oci_linux, has_seccomp) },
	{ "intelRdt", FIELD_PRESENT, AT(oci_linux, has_intel_rdt) },
	{ "timeOffsets", FIELD_PRESENT, AT(oci_linux, has_time_offsets) },
	{ "maskedPaths", FIELD_STRINGS, AT(oci_linux, masked_paths) },
	{ "readonlyPaths", FIELD_STRINGS, AT(oci_linux, readonly_paths) },
	{ "devices", FIELD_LIST, AT(oci_linux, devices), .sub = &device_schema },
	{ "sysctl", FIELD_MAP, AT(oci_linux, sysctl) },
};
static const struct schema linux_schema = SCHEMA(linux_fields, struct oci_linux);

static const struct field root_fields[] = {
	{ "path", FIELD_PATH, AT(oci_spec, root_path), .required = true,
	  .hint = "root.path is the folder of the container's root file system" },
	{ "readonly", FIELD_BOOL, AT(oci_spec, root_readonly) },
};
static const struct schema root_schema = SCHEMA(root_fields, struct oci_spec);

static const struct field spec_fields[] = {
	{ "ociVersion", FIELD_STRING, AT(oci_spec, oci_version), .required = true,
	  .hint = "is this a config.json of the OCI runtime specification?" },
	{ "root", FIELD_OBJECT, 0, .required = true, .sub = &root_schema },
	{ "hostname", FIELD_STRING, AT(oci_spec, hostname) },
	{ "domainname", FIELD_STRING, AT(oci_spec, domainname) },
	{ "process", FIELD_PRESENT, AT(oci_spec, has_process) },
	{ "process", FIELD_OBJECT, AT(oci_spec, process), .sub = &process_schema },
	{ "mounts", FIELD_LIST, AT(oci_spec, mounts), .sub = &mount_schema },
	{ "linux", FIELD_OBJECT, AT(oci_spec, linux_), .sub = &linux_schema },
	{ "hooks", FIELD_OBJECT, AT(oci_spec, hooks), .sub = &hooks_schema },
	{ "annotations", FIELD_MAP, AT(oci_spec, annotations),
	  .hint = "annotations have strings as values; put numbers in quotes" },
};
static const struct schema spec_schema = SCHEMA(spec_fields, struct oci_spec);

static const struct json *at_index(const struct json *list, size_t i)
{
	const struct json *it;

	json_foreach(it, list) if (it->index == i) break;
	return it;
}

static int check_version(struct decoder *d, const struct json *top, const struct oci_spec *spec)
{
	if (!strncmp(spec->oci_version, "1.", 2))
		return 0;
	return decode_fail(d, json_get(top, "ociVersion"),
			   "only version 1 of the specification is known",
			   "a version that cannot be read");
}

static int check_namespaces(struct decoder *d, const struct json *linux_,
			    const struct oci_linux *lx)
{
	const struct json *list = json_get(linux_, "namespaces");
	bool seen[OCI_NS_COUNT] = { 0 };

	for (size_t i = 0; i < lx->namespaces.n; i++) {
		struct oci_namespace *ns = &lx->namespaces.v[i];

		if (seen[ns->type])
			return decode_fail(d, json_get(at_index(list, i), "type"),
					   "keep one namespace of each type",
					   "namespace type '%s' is there twice",
					   oci_ns_name(ns->type));
		seen[ns->type] = true;
		if (ns->path && !ns->path[0])
			ns->path = NULL;
		if (ns->path && ns->path[0] != '/')
			return decode_fail(d, json_get(at_index(list, i), "path"),
					   "write the path from the root folder",
					   "expected an absolute path");
	}
	return 0;
}

static int check_absolute(struct decoder *d, const struct json *list)
{
	const struct json *it;

	if (!list)
		return 0;
	if (decode_check_length(d, list) < 0)
		return -EBADMSG;
	json_foreach(it, list) if (it->text[0] != '/') return decode_fail(
		d, it, "write the path from the container's root folder",
		"expected an absolute path");
	return 0;
}

static int check_devices(struct decoder *d, const struct json *linux_, const struct oci_linux *lx)
{
	const struct json *list = json_get(linux_, "devices");

	for (size_t i = 0; i < lx->devices.n; i++)
		if (lx->devices.v[i].path[0] != '/')
			return decode_fail(d, json_get(at_index(list, i), "path"),
					   "write the path from the container's root folder",
					   "expected an absolute path");
	return 0;
}

static int check_linux(struct decoder *d, const struct json *linux_, const struct oci_linux *lx)
{
	int r = check_namespaces(d, linux_, lx);

	if (r == 0)
		r = check_devices(d, linux_, lx);
	if (r == 0)
		r = check_absolute(d, json_get(linux_, "maskedPaths"));
	if (r == 0)
		r = check_absolute(d, json_get(linux_, "readonlyPaths"));
	return r;
}

int oci_spec_parse(struct oci_spec *ret, const char *file, const char *text, size_t len,
		   struct err *err)
{
	cleanup_oci_spec struct oci_spec spec = { 0 };
	struct decoder d = { .a = &spec.arena, .file = file, .err = err };
	struct json *top;
	int r = json_parse(&spec.arena, file, text, len, &top, err);

	if (r < 0)
		return r;
	if (top->type != JSON_OBJECT)
		return decode_fail(&d, top, "is this a config.json?",
				   "expected an object, found %s", json_type_name(top->type));
	r = decode_object(&d, top, &spec_schema, &spec);
	if (r == 0)
		r = check_version(&d, top, &spec);
	if (r == 0)
		r = check_linux(&d, json_get(top, "linux"), &spec.linux_);
	if (r < 0)
		return r;
	*ret = spec;
	spec.arena = (struct arena){ 0 };
	return 0;
}

void oci_spec_done(struct oci_spec *spec)
{
	arena_done(&spec->arena);
	*spec = (struct oci_spec){ 0 };
}

const struct oci_namespace *oci_spec_ns(const struct oci_spec *spec, enum oci_ns_type type)
{
	for (size_t i = 0; i < spec->linux_.namespaces.n; i++)
		if (spec->linux_.namespaces.v[i].type == type)
			return &spec->linux_.namespaces.v[i];
	return NULL;
}

const char *oci_ns_name(enum oci_ns_type type)
{
	return ns_words[type];
}

bool oci_mount_has_option(const struct oci_mount *mount, const char *option)
{
	for (size_t i = 0; i < mount->options.n; i++)
		if (!strcmp(mount->options.v[i], option))
			return true;
	return false;
}

bool oci_mount_is_bind(const struct oci_mount *mount)
{
	return (mount->type && !strcmp(mount->type, "bind")) ||
	       oci_mount_has_option(mount, "bind") || oci_mount_has_option(mount, "rbind");
}

bool oci_spec_has_network_hooks(const struct oci_spec *spec)
{
	const struct oci_hooks *h = &spec->hooks;

	return h->prestart.n || h->create_runtime.n || h->create_container.n;
}
