/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libcriu: checkpoint and restore of process trees for C programs, with the ABI of CRIU 4.2.
 *
 * Options are set one by one, then a call sends them to an engine: to `criu swrk`, started for this
 * call (the default), to a running service, or to a socket that is connected already. The functions
 * criu_X() work on one set of options that the library keeps, criu_local_X() on a set of the
 * caller's. A set must not be used by two threads at a time.
 *
 * Setters that return int give 0, or a negative value when there is no memory or no such mode.
 * Strings and arrays are copied.
 */
#ifndef CRIU_LIBCRIU_H
#define CRIU_LIBCRIU_H

#include <stdbool.h>
#include <stddef.h>

#include "rpc.pb-c.h"
#include "version.h"

#ifdef __cplusplus
extern "C" {
#endif

#define CRIU_LOG_UNSET (-1)
#define CRIU_LOG_MSG 0
#define CRIU_LOG_ERROR 1
#define CRIU_LOG_WARN 2
#define CRIU_LOG_INFO 3
#define CRIU_LOG_DEBUG 4

enum criu_service_comm { CRIU_COMM_SK, CRIU_COMM_FD, CRIU_COMM_BIN };

enum criu_cg_mode {
	CRIU_CG_MODE_IGNORE = 0,
	CRIU_CG_MODE_NONE = 1,
	CRIU_CG_MODE_PROPS = 2,
	CRIU_CG_MODE_SOFT = 3,
	CRIU_CG_MODE_FULL = 4,
	CRIU_CG_MODE_STRICT = 5,
	CRIU_CG_MODE_DEFAULT = 6,
};

enum criu_network_lock_method {
	CRIU_NETWORK_LOCK_IPTABLES = 1,
	CRIU_NETWORK_LOCK_NFTABLES = 2,
	CRIU_NETWORK_LOCK_SKIP = 3,
};

enum criu_pre_dump_mode { CRIU_PRE_DUMP_SPLICE = 1, CRIU_PRE_DUMP_READ = 2 };

/* A set of options. */
typedef struct criu_opts criu_opts;

/* What a notification brings; see criu_notify_pid(). */
typedef CriuNotify *criu_notify_arg_t;

/* Not used yet: always NULL. */
typedef void *criu_predump_info;

/* The version of CRIU that this library stands for. That of the engine: criu_get_version(). */
extern const char *criu_lib_version;

/*
 * Must come first: all options get their defaults, and what was set before is forgotten. 0, or -1
 * without memory.
 */
int criu_init_opts(void);
void criu_free_opts(void);

/* ---- whom to ask ---- */

/* NULL: the default address */
int criu_set_service_address(const char *path);
/* a connected socket; closed by the next call */
void criu_set_service_fd(int fd);
/* NULL: "criu" on PATH, the default */
int criu_set_service_binary(const char *path);

/* ---- who and where ---- */

/* dump: the root of the tree. Without it the caller itself is dumped, and criu_dump()
 * returns twice: 0 in the process that goes on, 1 in the restored one. */
void criu_set_pid(int pid);
/* required for everything but questions */
void criu_set_images_dir_fd(int fd);
/* of log, statistics and pid files; as images_dir_fd if unset */
void criu_set_work_dir_fd(int fd);
/* a name without a slash, in the work folder */
int criu_set_log_file(const char *log_file);
/* CRIU_LOG_* */
void criu_set_log_level(int log_level);
/* its options win over those set here */
int criu_set_config_file(const char *path);
/* root file system of the restored tree */
int criu_set_root(const char *root);

/* ---- memory ---- */

/* of the dump before, relative to the images folder */
int criu_set_parent_images(const char *path);
void criu_set_track_mem(bool track_mem);
void criu_set_auto_dedup(bool auto_dedup);
int criu_set_pre_dump_mode(enum criu_pre_dump_mode mode);
int criu_set_page_server_address_port(const char *address, int port);
/* a connectionless unix socket that keeps pidfds between pre-dumps */
void criu_set_pidfd_store_sk(int sk);

/* ---- processes ---- */

void criu_set_leave_running(bool leave_running);
void criu_set_shell_job(bool shell_job);
/* seconds for stopping the tree */
void criu_set_timeout(unsigned int timeout);
void criu_set_unprivileged(bool unprivileged);
/* bits: what of the processor must be the same */
void criu_set_cpu_cap(unsigned int cap);
/* restore: becomes the parent of the tree. Copied. */
int criu_set_exec_cmd(int argc, char *argv[]);
/* TYPE:NAME */
int criu_set_lsm_profile(const char *name);
int criu_set_lsm_mount_context(const char *name);
void criu_set_orphan_pts_master(bool orphan_pts_master);

/* ---- files ---- */

void criu_set_file_locks(bool file_locks);
void criu_set_link_remap(bool link_remap);
/* bytes */
void criu_set_ghost_limit(unsigned int limit);
void criu_set_evasive_devices(bool evasive_devices);
void criu_set_force_irmap(bool force_irmap);
int criu_add_irmap_path(const char *path);
void criu_set_skip_file_rwx_check(bool skip_file_rwx_check);
/* only with a service binary: -1 otherwise */
int criu_add_inherit_fd(int fd, const char *key);
/* "TYPE[ID]:VALUE" */
int criu_add_external(const char *key);

/* ---- sockets and network ---- */

void criu_set_ext_unix_sk(bool ext_unix_sk);
/* -1 if unix sockets from outside were switched off before */
int criu_add_unix_sk(unsigned int inode);
void criu_set_tcp_established(bool tcp_established);
void criu_set_tcp_close(bool tcp_close);
void criu_set_tcp_skip_in_flight(bool tcp_skip_in_flight);
int criu_set_network_lock(enum criu_network_lock_method method);
int criu_add_veth_pair(const char *in, const char *out);
void criu_set_weak_sysctls(bool val);

/* ---- namespaces and mounts ---- */

/* extra_opt may be NULL */
int criu_join_ns_add(const char *ns, const char *ns_file, const char *extra_opt);
/* CLONE_NEWNET */
void criu_set_empty_ns(int namespaces);
int criu_add_ext_mount(const char *key, const char *val);
void criu_set_auto_ext_mnt(bool val);
void criu_set_ext_sharing(bool val);
void criu_set_ext_masters(bool val);
int criu_add_skip_mnt(const char *mnt);
int criu_add_enable_fs(const char *fs);
void criu_set_mntns_compat_mode(bool val);

/* ---- cgroups ---- */

void criu_set_manage_cgroups(bool manage);
void criu_set_manage_cgroups_mode(enum criu_cg_mode mode);
/* ctrl may be NULL: all controllers */
int criu_add_cg_root(const char *ctrl, const char *path);
int criu_set_freeze_cgroup(const char *name);

/* ---- notifications ---- */

/*
 * The callback is told of every stage by its name ("pre-dump", "post-restore" ...). Anything but 0
 * ends the operation, and is what the call returns.
 */
void criu_set_notify_cb(int (*cb)(char *action, criu_notify_arg_t na));

/* The root task of the tree, for stages that have one; else 0. */
int criu_notify_pid(criu_notify_arg_t na);

/* The pty master that came with the last "orphan-pts-master", now the caller's; -1: none came. */
int criu_get_orphan_pts_master_fd(void);

/* ---- calls ---- */

/*
 * They return 0 (criu_restore*(): the pid of the root task), or
 *	-EBADE		the engine answered that it failed; errno is what it said about it, or 0
 *	-ECONNREFUSED	there is no engine
 *	-ECOMM		the connection broke
 *	-EINVAL		the engine does not know this request
 *	-EBADMSG	its answer makes no sense
 */
int criu_check(void);
int criu_dump(void);
int criu_pre_dump(void);
int criu_restore(void);

/* The root task becomes a child of the caller. A service cannot do that: the binary is started. */
int criu_restore_child(void);

/*
 * Pre-dumps until more() returns 0, then dumps. A negative value of more() ends it and is returned.
 */
int criu_dump_iters(int (*more)(criu_predump_info pi));

/*
 * The version of the engine: major * 10000 + minor * 100 + sublevel. One between two releases
 * counts as the next minor version.
 */
int criu_get_version(void);

/* 1: the engine has at least that version; 0: it is older. */
int criu_check_version(int minimum);

/* What is true is asked for; afterwards true is what there is. size is that of the caller's struct.
 */
struct criu_feature_check {
	bool mem_track;
	bool lazy_pages;
	bool pidfd_store;
};
int criu_feature_check(struct criu_feature_check *features, size_t size);

/* ---- the same with a set of the caller's ---- */

/* *opts is NULL or a set of before, which is freed. */
int criu_local_init_opts(criu_opts **opts);
void criu_local_free_opts(criu_opts *opts);

/* Forgets whom to ask; a setter of the service must follow. */
void criu_free_service(criu_opts *opts);

int criu_local_set_service_address(criu_opts *opts, const char *path);
void criu_local_set_service_fd(criu_opts *opts, int fd);
int criu_local_set_service_binary(criu_opts *opts, const char *path);
void criu_local_set_pid(criu_opts *opts, int pid);
void criu_local_set_images_dir_fd(criu_opts *opts, int fd);
void criu_local_set_work_dir_fd(criu_opts *opts, int fd);
int criu_local_set_log_file(criu_opts *opts, const char *log_file);
void criu_local_set_log_level(criu_opts *opts, int log_level);
int criu_local_set_config_file(criu_opts *opts, const char *path);
int criu_local_set_root(criu_opts *opts, const char *root);
int criu_local_set_parent_images(criu_opts *opts, const char *path);
void criu_local_set_track_mem(criu_opts *opts, bool track_mem);
void criu_local_set_auto_dedup(criu_opts *opts, bool auto_dedup);
int criu_local_set_pre_dump_mode(criu_opts *opts, enum criu_pre_dump_mode mode);
int criu_local_set_page_server_address_port(criu_opts *opts, const char *address, int port);
void criu_local_set_pidfd_store_sk(criu_opts *opts, int sk);
void criu_local_set_leave_running(criu_opts *opts, bool leave_running);
void criu_local_set_shell_job(criu_opts *opts, bool shell_job);
void criu_local_set_timeout(criu_opts *opts, unsigned int timeout);
void criu_local_set_unprivileged(criu_opts *opts, bool unprivileged);
void criu_local_set_cpu_cap(criu_opts *opts, unsigned int cap);
int criu_local_set_exec_cmd(criu_opts *opts, int argc, char *argv[]);
int criu_local_set_lsm_profile(criu_opts *opts, const char *name);
int criu_local_set_lsm_mount_context(criu_opts *opts, const char *name);
void criu_local_set_orphan_pts_master(criu_opts *opts, bool orphan_pts_master);
void criu_local_set_file_locks(criu_opts *opts, bool file_locks);
void criu_local_set_link_remap(criu_opts *opts, bool link_remap);
void criu_local_set_ghost_limit(criu_opts *opts, unsigned int limit);
void criu_local_set_evasive_devices(criu_opts *opts, bool evasive_devices);
void criu_local_set_force_irmap(criu_opts *opts, bool force_irmap);
int criu_local_add_irmap_path(criu_opts *opts, const char *path);
void criu_local_set_skip_file_rwx_check(criu_opts *opts, bool skip_file_rwx_check);
int criu_local_add_inherit_fd(criu_opts *opts, int fd, const char *key);
int criu_local_add_external(criu_opts *opts, const char *key);
void criu_local_set_ext_unix_sk(criu_opts *opts, bool ext_unix_sk);
int criu_local_add_unix_sk(criu_opts *opts, unsigned int inode);
void criu_local_set_tcp_established(criu_opts *opts, bool tcp_established);
void criu_local_set_tcp_close(criu_opts *opts, bool tcp_close);
void criu_local_set_tcp_skip_in_flight(criu_opts *opts, bool tcp_skip_in_flight);
int criu_local_set_network_lock(criu_opts *opts, enum criu_network_lock_method method);
int criu_local_add_veth_pair(criu_opts *opts, const char *in, const char *out);
void criu_local_set_weak_sysctls(criu_opts *opts, bool val);
int criu_local_join_ns_add(criu_opts *opts, const char *ns, const char *ns_file,
			   const char *extra_opt);
void criu_local_set_empty_ns(criu_opts *opts, int namespaces);
int criu_local_add_ext_mount(criu_opts *opts, const char *key, const char *val);
void criu_local_set_auto_ext_mnt(criu_opts *opts, bool val);
void criu_local_set_ext_sharing(criu_opts *opts, bool val);
void criu_local_set_ext_masters(criu_opts *opts, bool val);
int criu_local_add_skip_mnt(criu_opts *opts, const char *mnt);
int criu_local_add_enable_fs(criu_opts *opts, const char *fs);
void criu_local_set_mntns_compat_mode(criu_opts *opts, bool val);
void criu_local_set_manage_cgroups(criu_opts *opts, bool manage);
void criu_local_set_manage_cgroups_mode(criu_opts *opts, enum criu_cg_mode mode);
int criu_local_add_cg_root(criu_opts *opts, const char *ctrl, const char *path);
int criu_local_set_freeze_cgroup(criu_opts *opts, const char *name);
int criu_local_add_cg_props(criu_opts *opts, const char *stream);
int criu_local_add_cg_props_file(criu_opts *opts, const char *path);
int criu_local_add_cg_dump_controller(criu_opts *opts, const char *name);
int criu_local_add_cg_yard(criu_opts *opts, const char *path);
void criu_local_set_notify_cb(criu_opts *opts, int (*cb)(char *action, criu_notify_arg_t na));

int criu_local_check(criu_opts *opts);
int criu_local_dump(criu_opts *opts);
int criu_local_pre_dump(criu_opts *opts);
int criu_local_restore(criu_opts *opts);
int criu_local_restore_child(criu_opts *opts);
int criu_local_dump_iters(criu_opts *opts, int (*more)(criu_predump_info pi));
int criu_local_get_version(criu_opts *opts);
int criu_local_check_version(criu_opts *opts, int minimum);
int criu_local_feature_check(criu_opts *opts, struct criu_feature_check *features, size_t size);

#ifdef __cplusplus
}
#endif

#endif
