/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From a container's configuration and state to the engine's options. A pure function: what it
 * needs to know about the host is handed in as data, so every decision can be printed and tested
 * without root.
 *
 * Keys that go into images: a bind mount, a masked path, a device node and a v1 cgroup mount have
 * the mountpoint inside the container as their key, as in the images that crun makes; images of
 * runc, whose masked files all have the key "/dev/null", are understood on restore. Namespaces
 * given by path have the keys extRootNetNS and extRootPidNS of both runtimes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/buf.h"
#include "engine/base/err.h"
#include "engine/engine.h"
#include "oci/spec.h"
#include "oci/state.h"

enum oci_direction { OCI_DUMP, OCI_PRE_DUMP, OCI_RESTORE };

/* What becomes of a network namespace that no path names. */
enum oci_netns {
	OCI_NETNS_AUTO,	 /* whole if the facts say that only loopback is in it, else empty */
	OCI_NETNS_EMPTY, /* recreated empty, as runc does: hooks fill it */
	OCI_NETNS_WHOLE, /* dumped and restored, as crun does */
};

/* The command line. Paths are absolute or relative to the caller's folder; the plan does not change
 * them. */
struct oci_choices {
	enum oci_direction direction;
	/* Where the plan starts from (ckpt_options_init()); NULL: all zero. Its strings outlive the
	 * plan. */
	const struct ckpt_options *defaults;
	const char *image_path;	 /* NULL: "checkpoint" */
	const char *work_path;	 /* NULL: image_path */
	const char *parent_path; /* relative to image_path */
	bool leave_running, file_locks, tcp_established, tcp_close, tcp_skip_in_flight, ext_unix_sk,
		shell_job, link_remap, auto_dedup, lazy_pages;
	uint64_t ghost_limit_bytes;
	const char *manage_cgroups_mode; /* NULL: "soft" */
	const char *network_lock;	 /* NULL, "iptables", "nftables", "skip" */
	enum oci_netns netns;
	const char *lsm_profile, *lsm_mount_context; /* as in --lsm-profile TYPE:NAME */

	/* restore */
	const char *bundle;	/* NULL: the state's */
	const char *root_mount; /* where the caller mounts the root file system; NULL: the rootfs */
	const char *console_socket, *pid_file;
	bool detach;
};

enum oci_cgroup_layout { OCI_CGROUP_V2, OCI_CGROUP_HYBRID, OCI_CGROUP_V1 };

/* One hierarchy of cgroups on this host. */
struct oci_hierarchy {
	const char *controllers; /* "cpu,cpuacct", "name=systemd"; "" for the unified one */
	const char *mountpoint;	 /* on the host, absolute */
	const char *path; /* where the container is (dump) or will be (restore); NULL: nowhere */
};

enum oci_path_kind { OCI_PATH_ABSENT, OCI_PATH_FILE, OCI_PATH_DIR };

/* A path inside the container. */
struct oci_path_fact {
	const char *path; /* as in config.json */
	const char
		*resolved; /* with symbolic links followed inside the rootfs; NULL: path itself */
	enum oci_path_kind kind;
};

struct oci_ns_fact {
	const char *path; /* as in config.json */
	uint64_t inode;
};

/* What the caller found out about host and container. */
struct oci_facts {
	enum oci_cgroup_layout cgroup_layout;
	OCI_LIST(const struct oci_hierarchy) hierarchies;
	/*
	 * Masked paths that are there, and destinations of mounts that resolve elsewhere. A masked
	 * path that config.json does not name but the container has (made by an earlier restore
	 * from another configuration) belongs here as well.
	 */
	OCI_LIST(const struct oci_path_fact) masked, destinations;
	const char *masked_dir_source; /* folder that crun 1.24 and later binds on masked folders,
					  or NULL */
	/* Mountpoints inside the container; those below an rbind are handled like the rbind. */
	struct ckpt_strings mountpoints;
	OCI_LIST(const struct oci_ns_fact) namespaces;
	/* Dump: only loopback is in the container's network namespace. Restore: images hold its
	 * contents. */
	bool netns_loopback_only;
	/* Dump: link texts of the root task's descriptors 0 to 2. Restore: those of
	 * descriptors.json. */
	struct ckpt_strings descriptors;
};

/* A file that the caller opens before the restore; oci_plan_set_fd() takes the descriptor. */
struct oci_plan_open {
	const char *path;
	size_t inherit; /* index in options.inherit_fds */
};

/*
 * A mountpoint that must be there before a restore. Neither is trusted: path is to be resolved
 * below root (openat2 with RESOLVE_IN_ROOT).
 */
struct oci_mountpoint {
	const char *root; /* on the host: the root file system, or the source of a bind mount */
	const char *path; /* inside root */
	const char *like; /* a file or a folder like this one on the host; NULL: a folder */
};

struct oci_plan {
	struct arena arena; /* owns every string and list below */
	enum oci_direction direction;
	enum oci_runtime runtime;
	const char *id;
	struct ckpt_options options; /* log level and log file are set; notify is the caller's */
	const char *rootfs;	     /* absolute */
	const char *bundle;	     /* absolute or as given */
	const char *console_socket, *pid_file; /* for the caller: the engine writes neither */
	/*
	 * Configuration files of the engine: the first that exists is read. With config_required
	 * the one there is must exist (annotation org.criu.config).
	 */
	struct ckpt_strings config_files;
	bool config_required;
	OCI_LIST(struct oci_plan_open) opens;
	OCI_LIST(struct oci_mountpoint) mountpoints;
	struct ckpt_strings descriptors; /* dump: content of descriptors.json */
	struct ckpt_strings warnings;	 /* what will not be as it was; one sentence each */
};

/*
 * Makes the plan. Nothing is opened or looked at. ret keeps no pointer into the arguments (but see
 * defaults): the caller may free them at once, and releases ret with oci_plan_done(). On failure
 * ret is untouched. 0, or a negative errno with err filled: ERR_USAGE for choices that contradict
 * each other or the configuration, ERR_UNSUPPORTED for a configuration that cannot be kept,
 * -ENOMEM.
 */
int oci_plan_make(struct oci_plan *ret, const struct oci_spec *spec, const struct oci_state *state,
		  const struct oci_choices *choices, const struct oci_facts *facts, struct err *err)
	__attribute__((warn_unused_result));

/* Hands an open descriptor (still the caller's) to the entry opens.v[i]. */
void oci_plan_set_fd(struct oci_plan *plan, size_t i, int fd);

/* Frees what the plan owns. Safe on a zeroed struct. */
void oci_plan_done(struct oci_plan *plan);

static inline void cleanup_oci_planp(struct oci_plan *plan)
{
	oci_plan_done(plan);
}
#define cleanup_oci_plan __attribute__((cleanup(cleanup_oci_planp)))

/* Appends the plan to out, for people or (json) for programs. 0 or -ENOMEM, err filled. */
int oci_plan_print(const struct oci_plan *plan, bool json, struct buf *out, struct err *err)
	__attribute__((warn_unused_result));
