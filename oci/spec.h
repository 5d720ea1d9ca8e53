/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What checkpoint and restore need of a container's config.json, as plain data. Everything else in
 * the file is ignored. A string that the file does not have is NULL, a list is empty.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/arena.h"
#include "engine/base/err.h"
#include "oci/types.h"

/* In the order of oci_ns_name(). */
enum oci_ns_type {
	OCI_NS_PID,
	OCI_NS_NETWORK,
	OCI_NS_MOUNT,
	OCI_NS_IPC,
	OCI_NS_UTS,
	OCI_NS_USER,
	OCI_NS_CGROUP,
	OCI_NS_TIME,
	OCI_NS_COUNT,
};

struct oci_namespace {
	unsigned int type; /* enum oci_ns_type */
	const char *path;  /* join this one; NULL: a new one */
};

struct oci_id_map {
	uint32_t container_id, host_id, size;
};

struct oci_id_maps {
	struct oci_id_map *v;
	size_t n;
};

struct oci_mount {
	const char *destination; /* as written; see oci_path_clean() */
	const char *type, *source;
	struct oci_strings options;
	struct oci_id_maps uid_mappings, gid_mappings; /* an idmapped mount */
};

struct oci_rlimit {
	const char *type;
	uint64_t hard, soft;
};

struct oci_process {
	bool terminal, no_new_privileges, has_capabilities;
	uint32_t uid, gid;
	struct oci_strings args;
	const char *cwd, *apparmor_profile, *selinux_label;
	OCI_LIST(struct oci_rlimit) rlimits;
};

struct oci_device {
	const char *path, *type;
	int64_t major, minor;
	uint32_t file_mode, uid, gid;
};

struct oci_hook {
	const char *path;
	struct oci_strings args, env;
	uint32_t timeout_s; /* 0: none */
};

struct oci_hook_list {
	struct oci_hook *v;
	size_t n;
};

struct oci_hooks {
	struct oci_hook_list prestart, create_runtime, create_container, start_container, poststart,
		poststop;
};

struct oci_linux {
	OCI_LIST(struct oci_namespace) namespaces;
	struct oci_id_maps uid_mappings, gid_mappings;
	const char *cgroups_path, *rootfs_propagation, *mount_label;
	bool has_resources, has_seccomp, has_intel_rdt, has_time_offsets;
	struct oci_strings masked_paths, readonly_paths;
	OCI_LIST(struct oci_device) devices;
	struct oci_pairs sysctl;
};

struct oci_spec {
	struct arena arena; /* owns everything below */
	const char *oci_version, *hostname, *domainname;
	const char *root_path; /* as written: relative to the bundle unless absolute */
	bool root_readonly;
	bool has_process;
	struct oci_process process;
	OCI_LIST(struct oci_mount) mounts;
	struct oci_linux linux_; /* "linux" is a macro of the compiler */
	struct oci_hooks hooks;
	struct oci_pairs annotations;
};

/*
 * Reads config.json. The text is not trusted: size, depth, types, ranges and paths are checked, and
 * an error names file and place ("config.json: linux.namespaces[2].type: ..."). file is used for
 * errors only and is not opened. On success the caller releases ret with oci_spec_done(); on
 * failure ret is untouched. 0, -EBADMSG (class ERR_IMAGE) or -ENOMEM.
 */
int oci_spec_parse(struct oci_spec *ret, const char *file, const char *text, size_t len,
		   struct err *err) __attribute__((warn_unused_result));

/* Frees what the specification owns. Safe on a zeroed struct. */
void oci_spec_done(struct oci_spec *spec);

static inline void cleanup_oci_specp(struct oci_spec *spec)
{
	oci_spec_done(spec);
}
#define cleanup_oci_spec __attribute__((cleanup(cleanup_oci_specp)))

/* The namespace of this type, or NULL if the container shares that of its parent. */
const struct oci_namespace *oci_spec_ns(const struct oci_spec *spec, enum oci_ns_type type);

/* "pid", "network" ...: the word of the specification. */
const char *oci_ns_name(enum oci_ns_type type);

/* True if the mount is made by binding: by its type or by an option "bind" or "rbind". */
bool oci_mount_is_bind(const struct oci_mount *mount);

/* True if the option is there, as a word of its own. */
bool oci_mount_has_option(const struct oci_mount *mount, const char *option);

/* True if some hook would set up the network of a container: prestart, createRuntime,
 * createContainer. */
bool oci_spec_has_network_hooks(const struct oci_spec *spec);
