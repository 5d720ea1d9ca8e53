/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libckpt: dump a process tree to CRIU image files and restore it. The only header that commands
 * see.
 *
 * Options are plain data, filled by a front end and constant afterwards. Every string is borrowed
 * for the time of the call. The engine never prints: it writes the log it is told to, and tells a
 * failure through struct err.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "engine/base/err.h"
#include "engine/base/log.h"

/* CRIU's --manage-cgroups modes, with the numbers of the RPC. */
enum ckpt_cgroup_mode {
	CKPT_CG_IGNORE = 0, /* neither dump nor restore */
	CKPT_CG_NONE = 1,   /* cgroups must exist; put tasks into them */
	CKPT_CG_PROPS = 2,  /* cgroups must exist; restore their properties */
	CKPT_CG_SOFT = 3,   /* create what is missing, properties only of what was created */
	CKPT_CG_FULL = 4,   /* create and set everything */
	CKPT_CG_STRICT = 5, /* fail if a cgroup exists already */
};

enum ckpt_network_lock {
	CKPT_LOCK_DEFAULT,
	CKPT_LOCK_IPTABLES,
	CKPT_LOCK_NFTABLES,
	CKPT_LOCK_SKIP
};

/* What of the processor must be the same (--cpu-cap); the numbers of the RPC. */
enum {
	CKPT_CPU_FPU = 1 << 0,	 /* floating point and extended state */
	CKPT_CPU_ALL = 1 << 1,	 /* every feature */
	CKPT_CPU_INS = 1 << 2,	 /* instructions */
	CKPT_CPU_IMAGE = 1 << 3, /* dump: write it; restore: check it */
};

/* A pair of words: external mount (key, value), cgroup root (controllers or NULL, path) ... */
struct ckpt_pair {
	const char *key;
	const char *val;
};

struct ckpt_pairs {
	const struct ckpt_pair *v;
	size_t n;
};

struct ckpt_strings {
	const char *const *v;
	size_t n;
};

/* A descriptor of the caller that replaces a dumped one whose key is for example "pipe:[123]". */
struct ckpt_inherit_fd {
	const char *key;
	int fd;
};

struct ckpt_join_ns {
	const char *ns;	   /* "ipc", "net", "time", "user", "uts", "mnt" */
	const char *file;  /* path of a namespace file, or a pid in decimal */
	const char *extra; /* "UID,GID" for user, else NULL */
};

/*
 * Told at each notify stage, in CRIU's order and with CRIU's names ("pre-dump", "post-dump",
 * "network-lock", "pre-restore", "setup-namespaces", "post-restore", "pre-resume" ...). pid is the
 * root task for setup-namespaces, post-restore and later stages, else 0. fd is the pty master at
 * "orphan-pts-master" (borrowed), else -1. A negative return fails the operation, with err filled;
 * at "network-unlock", "pre-resume" and "post-resume" it is too late for that, and it is only
 * logged. At "query-ext-files" the externals of the options may be replaced by a longer list.
 * "orphan-pts-master" is told from a child of the caller's process.
 */
typedef int (*ckpt_notify_fn)(void *arg, const char *stage, pid_t pid, int fd, struct err *err);

struct ckpt_options {
	/* general */
	const char *images_dir; /* NULL: "." */
	const char *work_dir;	/* log and statistics; NULL: images_dir */
	const char *log_file;	/* relative to work_dir unless absolute; NULL: standard error */
	int log_level;		/* enum log_level */
	const char *pidfile; /* restore: written with the root task's pid, relative to work_dir */
	bool display_stats;
	unsigned int timeout_s; /* for collecting the tree; 0: 10 s */
	ckpt_notify_fn notify;	/* may be NULL */
	void *notify_arg;

	/* what to dump and what becomes of it */
	pid_t pid;
	bool for_user; /* dump on behalf of user_uid: only tasks that this user might trace */
	uid_t user_uid;
	uint32_t service_ino; /* our end of the connection to the client, 0: there is none. The
			       * client may dump itself: its end gets the answer when it is restored
			       */
	bool leave_running, leave_stopped;
	bool shell_job;
	bool file_locks;
	bool link_remap;
	uint64_t ghost_limit_bytes; /* 0: 1 MiB */
	bool ext_unix_sk;
	bool tcp_established, tcp_close, tcp_skip_in_flight;
	enum ckpt_network_lock network_lock;
	const char *freeze_cgroup; /* absolute path of the cgroup directory to freeze, or NULL */
	bool orphan_pts_master;
	bool evasive_devices;
	bool force_irmap;
	bool weak_sysctls;
	bool skip_file_rwx_check;
	bool unprivileged;
	bool file_validation_buildid; /* else by size */
	bool allow_uprobes;
	unsigned int cpu_cap; /* CKPT_CPU_* */
	bool track_mem, auto_dedup, lazy_pages, stream;
	const char *parent_images_dir; /* relative to images_dir, or NULL */
	unsigned int empty_ns;	       /* CLONE_NEWNET or 0 */

	/* where things are */
	const char *root; /* restore: the root file system of the tree */
	struct ckpt_pairs
		ext_mounts; /* dump: (mountpoint inside, key); restore: (key, host path) */
	bool auto_ext_mounts, ext_sharing, ext_masters;
	struct ckpt_strings skip_mounts, enable_fs;
	struct ckpt_strings irmap_scan_paths; /* where watched files are searched for */
	struct ckpt_strings externals;	      /* "TYPE[ID]:KEY" as in CRIU's --external */
	enum ckpt_cgroup_mode cgroup_mode;
	bool manage_cgroups;
	struct ckpt_pairs
		cgroup_roots; /* key: comma list of v1 controllers, "": cgroup2, NULL: all others */
	const char *cgroup_yard; /* directory in which each hierarchy is mounted under its name, or
				  * NULL; relative to work_dir */
	const char *lsm_profile, *lsm_mount_context;
	const char *plugin_dir; /* NULL: $CRIU_LIBS_DIR, or that of the installation */

	/* restore */
	bool restore_detached, restore_sibling;
	struct ckpt_strings exec_cmd; /* argv, or n == 0; the caller runs it in its own place when
				       * the restore is done, and the engine does not wait */
	const struct ckpt_inherit_fd *inherit_fds;
	size_t n_inherit_fds;
	const struct ckpt_join_ns *join_ns;
	size_t n_join_ns;
	bool mntns_compat_mode;
};

struct ckpt_result {
	pid_t root_pid;	 /* restore: root task, as the caller sees it */
	int exit_status; /* restore, not detached: the root task's wait status */
};

/* Sets every option to CRIU's default. */
void ckpt_options_init(struct ckpt_options *opts);

/*
 * Dumps the tree of opts->pid into opts->images_dir. On failure the tree runs on as it was. Needs
 * the privileges of CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE and CAP_SYS_PTRACE over the tree.
 */
int ckpt_dump(const struct ckpt_options *opts, struct ckpt_result *ret, struct err *err)
	__attribute__((warn_unused_result));

/*
 * Restores the tree of opts->images_dir; returns when it runs (detached, or exec_cmd is set) or
 * when its root has ended. On failure nothing of it is left. The root is a child of the caller;
 * with restore_sibling of the caller's parent. Detached with a death signal it is nobody's child,
 * so that the signal does not come at the caller's end.
 */
int ckpt_restore(const struct ckpt_options *opts, struct ckpt_result *ret, struct err *err)
	__attribute__((warn_unused_result));

/*
 * Writes a failure that the caller met before it came to an operation into the log that the options
 * name, as if it were the operation's. false: that log cannot be opened.
 */
bool ckpt_log_failure(const struct ckpt_options *opts, const struct err *err);

/* One line of `check`: name, whether the kernel has it, and what does not work without it. */
struct ckpt_feature {
	const char *name;
	bool present;
	bool required;
	const char *lost; /* "what will not work without it" */
	int code; /* negative errno of the probe (-EOPNOTSUPP: the engine lacks it), 0 if present */
};

/* Probes every kernel feature. *ret is an array that the caller frees with free(); its texts are
 * constant. */
int ckpt_check(struct ckpt_feature **ret, size_t *ret_n, struct err *err)
	__attribute__((warn_unused_result));

/* Writes cpuinfo.img to opts->images_dir, and compares it with this machine as opts->cpu_cap says.
 */
int ckpt_cpuinfo_dump(const struct ckpt_options *opts, struct err *err)
	__attribute__((warn_unused_result));
int ckpt_cpuinfo_check(const struct ckpt_options *opts, struct err *err)
	__attribute__((warn_unused_result));

struct ckpt_show_options {
	const char *fields; /* comma list of dotted paths ("pid,tc.comm"), or NULL: all */
	bool json;
};

/* Writes the content of one image file to out, as text for people or as one JSON object. What is
 * in it is told by the file's magic; a file without one (pages, tables) by its name. */
int ckpt_show(const char *file, const struct ckpt_show_options *opts, FILE *out, struct err *err)
	__attribute__((warn_unused_result));

/* What ckpt_check() says, of the one feature of that name. 0, or -ENOENT with err filled. */
int ckpt_check_one(const char *name, struct ckpt_feature *ret, struct err *err)
	__attribute__((warn_unused_result));

/* "4.2", the version of CRIU whose images and messages this engine reads and writes. */
const char *ckpt_criu_version(void);

/* The project's own version. */
const char *ckpt_version(void);
