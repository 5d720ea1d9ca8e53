/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The setters. A set is a request's options, in memory that protobuf-c could have unpacked, so
 * that it can be freed by its descriptor. Every setter exists twice: for the library's own set and
 * for one of the caller's.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/libcriu/libcriu-priv.h"

const char *criu_lib_version = CRIU_VERSION;

static criu_opts *own_set;

criu_opts *libcriu_own_set(void)
{
	if (!own_set)
		criu_local_init_opts(&own_set);
	return own_set;
}

int criu_local_init_opts(criu_opts **opts)
{
	criu_opts *set = calloc(1, sizeof(*set));

	criu_local_free_opts(*opts);
	*opts = NULL;
	if (!set)
		return -1;
	set->rpc = malloc(sizeof(*set->rpc));
	if (!set->rpc || criu_local_set_service_binary(set, NULL) < 0) {
		free(set->rpc);
		free(set);
		return -1;
	}
	criu_opts__init(set->rpc);
	*opts = set;
	return 0;
}

int criu_init_opts(void)
{
	return criu_local_init_opts(&own_set);
}

void criu_free_service(criu_opts *opts)
{
	free(opts->service);
	opts->service = NULL;
}

void criu_local_free_opts(criu_opts *opts)
{
	if (!opts)
		return;
	criu_opts__free_unpacked(opts->rpc, NULL);
	criu_free_service(opts);
	free(opts);
}

void criu_free_opts(void)
{
	criu_local_free_opts(own_set);
	own_set = NULL;
}

/* ---- values ---- */

static int set_text(char **at, const char *text)
{
	char *copy = text ? strdup(text) : NULL;

	if (text && !copy)
		return -ENOMEM;
	free(*at);
	*at = copy;
	return 0;
}

/* Makes room for one more pointer at the end of a repeated field. */
static void *grow(void *list, size_t n)
{
	return n < SIZE_MAX / sizeof(void *) ? realloc(list, (n + 1) * sizeof(void *)) : NULL;
}

static int add_text(char ***list, size_t *n, const char *text)
{
	char **more, *copy;

	if (!text)
		return -EINVAL;
	more = grow(*list, *n);
	if (!more)
		return -ENOMEM;
	*list = more;
	copy = strdup(text);
	if (!copy)
		return -ENOMEM;
	more[(*n)++] = copy;
	return 0;
}

/* Adds a message with up to three texts, of which the ones behind the first may be NULL. */
static int add_message(void *list, size_t *n, const ProtobufCMessageDescriptor *desc,
		       char *(*texts)[3], ProtobufCMessage **ret)
{
	ProtobufCMessage ***at = list, **more = grow(*at, *n);
	ProtobufCMessage *msg;

	if (!more)
		return -ENOMEM;
	*at = more;
	msg = calloc(1, desc->sizeof_message);
	if (!msg)
		return -ENOMEM;
	protobuf_c_message_init(desc, msg);
	*ret = msg;
	for (unsigned int i = 0, k = 0; i < desc->n_fields; i++) {
		char **text = (char **)((char *)msg + desc->fields[i].offset);

		if (desc->fields[i].type != PROTOBUF_C_TYPE_STRING)
			continue;
		if (set_text(text, (*texts)[k++]) < 0) {
			protobuf_c_message_free_unpacked(msg, NULL);
			return -ENOMEM;
		}
	}
	more[(*n)++] = msg;
	return 0;
}

#define TEXTS(...) (&(char *[3]){ __VA_ARGS__ })

/* ---- whom to ask ---- */

static int set_service(criu_opts *opts, enum criu_service_comm comm, const char *text)
{
	int r = set_text(&opts->service, text);

	if (r == 0)
		opts->comm = comm;
	return r;
}

int criu_local_set_service_address(criu_opts *opts, const char *path)
{
	return set_service(opts, CRIU_COMM_SK, path ?: DEFAULT_ADDRESS);
}

int criu_local_set_service_binary(criu_opts *opts, const char *path)
{
	return set_service(opts, CRIU_COMM_BIN, path ?: DEFAULT_BINARY);
}

void criu_local_set_service_fd(criu_opts *opts, int fd)
{
	set_service(opts, CRIU_COMM_FD, NULL);
	opts->fd = fd;
}

/* ---- setters that are a field of the request and nothing else ---- */

/* The setter of the library's own set does nothing where even that cannot be allocated. */
#define BOTH_VOID(name, type)                               \
	void criu_set_##name(type value)                    \
	{                                                   \
		criu_opts *opts = libcriu_own_set();        \
                                                            \
		if (opts)                                   \
			criu_local_set_##name(opts, value); \
	}

#define BOTH_INT(name, params, args)                            \
	int criu_##name params                                  \
	{                                                       \
		criu_opts *opts = libcriu_own_set();            \
                                                                \
		return opts ? criu_local_##name args : -ENOMEM; \
	}

#define VALUE(name, field, type)                                \
	void criu_local_set_##name(criu_opts *opts, type value) \
	{                                                       \
		opts->rpc->has_##field = true;                  \
		opts->rpc->field = value;                       \
	}                                                       \
	BOTH_VOID(name, type)

#define TEXT(name, field)                                        \
	int criu_local_##name(criu_opts *opts, const char *text) \
	{                                                        \
		return set_text(&opts->rpc->field, text);        \
	}

#define LIST(name, field)                                                        \
	int criu_local_##name(criu_opts *opts, const char *text)                 \
	{                                                                        \
		return add_text(&opts->rpc->field, &opts->rpc->n_##field, text); \
	}

/* clang-format off */
VALUE(pid, pid, int)
VALUE(work_dir_fd, work_dir_fd, int)
VALUE(log_level, log_level, int)
VALUE(pidfd_store_sk, pidfd_store_sk, int)
VALUE(timeout, timeout, unsigned int)
VALUE(cpu_cap, cpu_cap, unsigned int)
VALUE(ghost_limit, ghost_limit, unsigned int)
VALUE(leave_running, leave_running, bool)
VALUE(ext_unix_sk, ext_unix_sk, bool)
VALUE(tcp_established, tcp_established, bool)
VALUE(tcp_skip_in_flight, tcp_skip_in_flight, bool)
VALUE(tcp_close, tcp_close, bool)
VALUE(weak_sysctls, weak_sysctls, bool)
VALUE(evasive_devices, evasive_devices, bool)
VALUE(shell_job, shell_job, bool)
VALUE(skip_file_rwx_check, skip_file_rwx_check, bool)
VALUE(unprivileged, unprivileged, bool)
VALUE(orphan_pts_master, orphan_pts_master, bool)
VALUE(file_locks, file_locks, bool)
VALUE(track_mem, track_mem, bool)
VALUE(auto_dedup, auto_dedup, bool)
VALUE(force_irmap, force_irmap, bool)
VALUE(link_remap, link_remap, bool)
VALUE(manage_cgroups, manage_cgroups, bool)
VALUE(auto_ext_mnt, auto_ext_mnt, bool)
VALUE(ext_sharing, ext_sharing, bool)
VALUE(ext_masters, ext_masters, bool)
VALUE(mntns_compat_mode, mntns_compat_mode, bool)

TEXT(set_parent_images, parent_img)
TEXT(set_log_file, log_file)
TEXT(set_root, root)
TEXT(set_freeze_cgroup, freeze_cgroup)
TEXT(set_lsm_profile, lsm_profile)
TEXT(set_lsm_mount_context, lsm_mount_context)
TEXT(set_config_file, config_file)
TEXT(add_cg_props, cgroup_props)
TEXT(add_cg_props_file, cgroup_props_file)
TEXT(add_cg_yard, cgroup_yard)

LIST(add_enable_fs, enable_fs)
LIST(add_skip_mnt, skip_mnt)
LIST(add_irmap_path, irmap_scan_paths)
LIST(add_external, external)
LIST(add_cg_dump_controller, cgroup_dump_controller)
/* clang-format on */

/* ---- the others ---- */

void criu_local_set_images_dir_fd(criu_opts *opts, int fd)
{
	opts->rpc->images_dir_fd = fd;
}

void criu_local_set_empty_ns(criu_opts *opts, int namespaces)
{
	opts->rpc->has_empty_ns = true;
	opts->rpc->empty_ns = (uint32_t)namespaces;
}

void criu_local_set_manage_cgroups_mode(criu_opts *opts, enum criu_cg_mode mode)
{
	opts->rpc->has_manage_cgroups_mode = true;
	opts->rpc->manage_cgroups_mode = (CriuCgMode)mode;
}

int criu_local_set_network_lock(criu_opts *opts, enum criu_network_lock_method method)
{
	if (method < CRIU_NETWORK_LOCK_IPTABLES || method > CRIU_NETWORK_LOCK_SKIP)
		return -1;
	opts->rpc->has_network_lock = true;
	opts->rpc->network_lock = (CriuNetworkLockMethod)method;
	return 0;
}

int criu_local_set_pre_dump_mode(criu_opts *opts, enum criu_pre_dump_mode mode)
{
	if (mode != CRIU_PRE_DUMP_SPLICE && mode != CRIU_PRE_DUMP_READ)
		return -1;
	opts->rpc->has_pre_dump_mode = true;
	opts->rpc->pre_dump_mode = (CriuPreDumpMode)mode;
	return 0;
}

void criu_local_set_notify_cb(criu_opts *opts, int (*cb)(char *action, criu_notify_arg_t na))
{
	opts->notify = cb;
	opts->rpc->has_notify_scripts = true;
	opts->rpc->notify_scripts = true;
}

int criu_notify_pid(criu_notify_arg_t na)
{
	return na->has_pid ? na->pid : 0;
}

static void forget_exec_cmd(CriuOpts *rpc)
{
	for (size_t i = 0; i < rpc->n_exec_cmd; i++)
		free(rpc->exec_cmd[i]);
	free(rpc->exec_cmd);
	rpc->exec_cmd = NULL;
	rpc->n_exec_cmd = 0;
}

int criu_local_set_exec_cmd(criu_opts *opts, int argc, char *argv[])
{
	int r = 0;

	forget_exec_cmd(opts->rpc);
	for (int i = 0; r == 0 && i < argc; i++)
		r = add_text(&opts->rpc->exec_cmd, &opts->rpc->n_exec_cmd, argv[i]);
	if (r < 0)
		forget_exec_cmd(opts->rpc);
	return r;
}

/* Naming a socket says that such sockets are wanted, unless they were switched off before. */
int criu_local_add_unix_sk(criu_opts *opts, unsigned int inode)
{
	CriuOpts *rpc = opts->rpc;
	ProtobufCMessage *msg;
	int r;

	if (rpc->has_ext_unix_sk && !rpc->ext_unix_sk)
		return -1;
	r = add_message(&rpc->unix_sk_ino, &rpc->n_unix_sk_ino, &unix_sk__descriptor, TEXTS(NULL),
			&msg);
	if (r < 0)
		return r;
	((UnixSk *)msg)->inode = inode;
	rpc->has_ext_unix_sk = rpc->ext_unix_sk = true;
	return 0;
}

int criu_local_add_ext_mount(criu_opts *opts, const char *key, const char *val)
{
	ProtobufCMessage *msg;

	if (!key || !val)
		return -EINVAL;
	return add_message(&opts->rpc->ext_mnt, &opts->rpc->n_ext_mnt, &ext_mount_map__descriptor,
			   TEXTS((char *)key, (char *)val), &msg);
}

int criu_local_add_veth_pair(criu_opts *opts, const char *in, const char *out)
{
	ProtobufCMessage *msg;

	if (!in || !out)
		return -EINVAL;
	return add_message(&opts->rpc->veths, &opts->rpc->n_veths, &criu_veth_pair__descriptor,
			   TEXTS((char *)in, (char *)out), &msg);
}

int criu_local_add_cg_root(criu_opts *opts, const char *ctrl, const char *path)
{
	ProtobufCMessage *msg;

	if (!path)
		return -EINVAL;
	return add_message(&opts->rpc->cg_root, &opts->rpc->n_cg_root, &cgroup_root__descriptor,
			   TEXTS((char *)ctrl, (char *)path), &msg);
}

int criu_local_join_ns_add(criu_opts *opts, const char *ns, const char *ns_file,
			   const char *extra_opt)
{
	ProtobufCMessage *msg;

	if (!ns || !ns_file)
		return -1;
	return add_message(&opts->rpc->join_ns, &opts->rpc->n_join_ns, &join_namespace__descriptor,
			   TEXTS((char *)ns, (char *)ns_file, (char *)extra_opt), &msg);
}

/* A descriptor is inherited by an engine that we start, and by no other. */
int criu_local_add_inherit_fd(criu_opts *opts, int fd, const char *key)
{
	ProtobufCMessage *msg;
	int r;

	if (opts->comm != CRIU_COMM_BIN)
		return -1;
	if (!key)
		return -EINVAL;
	r = add_message(&opts->rpc->inherit_fd, &opts->rpc->n_inherit_fd, &inherit_fd__descriptor,
			TEXTS((char *)key), &msg);
	if (r == 0)
		((InheritFd *)msg)->fd = fd;
	return r;
}

int criu_local_set_page_server_address_port(criu_opts *opts, const char *address, int port)
{
	CriuPageServerInfo *ps = malloc(sizeof(*ps));

	if (!ps)
		return -ENOMEM;
	criu_page_server_info__init(ps);
	if (set_text(&ps->address, address) < 0) {
		free(ps);
		return -ENOMEM;
	}
	ps->has_port = true;
	ps->port = port;
	if (opts->rpc->ps)
		criu_page_server_info__free_unpacked(opts->rpc->ps, NULL);
	opts->rpc->ps = ps;
	return 0;
}

/* ---- the same on the library's own set ---- */

/* clang-format off */
BOTH_VOID(service_fd, int)
BOTH_VOID(images_dir_fd, int)
BOTH_VOID(empty_ns, int)
BOTH_VOID(manage_cgroups_mode, enum criu_cg_mode)

#define BOTH_TEXT(name) BOTH_INT(name, (const char *text), (opts, text))
#define BOTH_TEXTS(name) BOTH_INT(name, (const char *a, const char *b), (opts, a, b))

BOTH_TEXT(set_service_address)
BOTH_TEXT(set_service_binary)
BOTH_TEXT(set_parent_images)
BOTH_TEXT(set_log_file)
BOTH_TEXT(set_root)
BOTH_TEXT(set_freeze_cgroup)
BOTH_TEXT(set_lsm_profile)
BOTH_TEXT(set_lsm_mount_context)
BOTH_TEXT(set_config_file)
BOTH_TEXT(add_enable_fs)
BOTH_TEXT(add_skip_mnt)
BOTH_TEXT(add_irmap_path)
BOTH_TEXT(add_external)
BOTH_TEXTS(add_ext_mount)
BOTH_TEXTS(add_veth_pair)
BOTH_TEXTS(add_cg_root)
BOTH_INT(set_network_lock, (enum criu_network_lock_method method), (opts, method))
BOTH_INT(set_pre_dump_mode, (enum criu_pre_dump_mode mode), (opts, mode))
BOTH_INT(set_exec_cmd, (int argc, char *argv[]), (opts, argc, argv))
BOTH_INT(add_unix_sk, (unsigned int inode), (opts, inode))
BOTH_INT(add_inherit_fd, (int fd, const char *key), (opts, fd, key))
BOTH_INT(set_page_server_address_port, (const char *address, int port), (opts, address, port))
BOTH_INT(join_ns_add, (const char *ns, const char *ns_file, const char *extra_opt),
	 (opts, ns, ns_file, extra_opt))
/* clang-format on */

void criu_set_notify_cb(int (*cb)(char *action, criu_notify_arg_t na))
{
	criu_opts *opts = libcriu_own_set();

	if (opts)
		criu_local_set_notify_cb(opts, cb);
}
