/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libcriu against an engine that is made up: what its requests hold, and what it makes of answers.
 * Started as `PROGRAM swrk FD` this program is such an engine; LIBCRIU_FAKE says how it acts, and
 * LIBCRIU_SEEN is where it writes the requests it got.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/libcriu/criu.h"
#include "tests/lib/test.h"

/* ---- the engine ---- */

enum { MESSAGE_MAX = 65536 };

static CriuReq *receive(int sk)
{
	static uint8_t data[MESSAGE_MAX];
	ssize_t len = recv(sk, data, sizeof(data), 0);
	const char *seen = getenv("LIBCRIU_SEEN");
	int fd;

	if (len <= 0)
		return NULL;
	if (seen) {
		fd = open(seen, O_WRONLY | O_CREAT | O_TRUNC, 0600);
		if (write(fd, data, (size_t)len) != len)
			_exit(3);
		close(fd);
	}
	return criu_req__unpack(NULL, (size_t)len, data);
}

static void answer_fd(int sk, CriuResp *resp, int fd)
{
	static uint8_t data[MESSAGE_MAX];
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { data, criu_resp__pack(resp, data) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;

	if (fd >= 0) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control.bytes);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	if (sendmsg(sk, &msg, MSG_NOSIGNAL) < 0)
		_exit(4);
}

/* Answers with success or not, and with everything that any client may look for. */
static void answer(int sk, CriuReqType type, bool success)
{
	CriuResp resp = CRIU_RESP__INIT;
	CriuDumpResp dump = CRIU_DUMP_RESP__INIT;
	CriuRestoreResp restore = CRIU_RESTORE_RESP__INIT;
	CriuVersion version = CRIU_VERSION__INIT;
	CriuFeatures features = CRIU_FEATURES__INIT;

	resp.type = type;
	resp.success = success;
	if (!success) {
		resp.has_cr_errno = true;
		resp.cr_errno = ESRCH;
	}
	dump.has_restored = dump.restored = getenv("LIBCRIU_RESTORED") != NULL;
	resp.dump = &dump;
	restore.pid = getpid();
	resp.restore = &restore;
	version.major_number = 4;
	version.minor_number = 2;
	version.has_sublevel = true;
	version.sublevel = 7;
	version.gitid = getenv("LIBCRIU_GITID");
	resp.version = &version;
	features.has_lazy_pages = features.lazy_pages = true;
	resp.features = &features;
	answer_fd(sk, &resp, -1);
}

/* One notification; whether it was acknowledged. */
static bool notify(int sk, const char *script, int pid, int fd)
{
	CriuResp resp = CRIU_RESP__INIT;
	CriuNotify notify = CRIU_NOTIFY__INIT;
	CriuReq *ack;
	bool ok;

	resp.type = CRIU_REQ_TYPE__NOTIFY;
	resp.success = true;
	notify.script = (char *)script;
	notify.has_pid = pid != 0;
	notify.pid = pid;
	resp.notify = &notify;
	answer_fd(sk, &resp, fd);
	ack = receive(sk);
	if (!ack || ack->type != CRIU_REQ_TYPE__NOTIFY)
		_exit(5);
	ok = ack->has_notify_success && ack->notify_success;
	criu_req__free_unpacked(ack, NULL);
	return ok;
}

static bool tell_stages(int sk)
{
	int pipe_fds[2];

	if (pipe(pipe_fds) < 0)
		_exit(6);
	return notify(sk, "pre-restore", 0, -1) && notify(sk, "post-restore", 77, -1) &&
	       notify(sk, "orphan-pts-master", 0, pipe_fds[0]);
}

static int engine(int sk)
{
	const char *fake = getenv("LIBCRIU_FAKE") ?: "";
	CriuReq *req;

	while ((req = receive(sk))) {
		CriuReqType type = req->type;
		bool more = type == CRIU_REQ_TYPE__PRE_DUMP;

		criu_req__free_unpacked(req, NULL);
		if (strcmp(fake, "die") == 0)
			return 1;
		if (strcmp(fake, "garbage") == 0)
			return send(sk, "\xff\xff\xff", 3, 0) < 0;
		if (strcmp(fake, "unknown") == 0)
			answer(sk, CRIU_REQ_TYPE__EMPTY, false);
		else if (strcmp(fake, "other") == 0)
			answer(sk, CRIU_REQ_TYPE__WAIT_PID, true);
		else if (strcmp(fake, "stages") == 0)
			answer(sk, type, tell_stages(sk));
		else
			answer(sk, type, strcmp(fake, "fail") != 0);
		if (!more)
			break;
	}
	return 0;
}

/* ---- the client ---- */

static char seen_path[64];

static void act(const char *fake)
{
	setenv("LIBCRIU_FAKE", fake, 1);
	unsetenv("LIBCRIU_RESTORED");
	unsetenv("LIBCRIU_GITID");
}

/* A fresh set that starts this program as its engine. */
static void fresh(const char *fake)
{
	act(fake);
	check_int(criu_init_opts(), 0);
	check_int(criu_set_service_binary("/proc/self/exe"), 0);
}

/* The last request that the engine got. */
static CriuReq *seen(void)
{
	static uint8_t data[MESSAGE_MAX];
	int fd = open(seen_path, O_RDONLY);
	ssize_t len = read(fd, data, sizeof(data));
	CriuReq *req;

	close(fd);
	req = criu_req__unpack(NULL, (size_t)len, data);
	check(req != NULL);
	return req;
}

static bool no_child_is_left(void)
{
	return waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD;
}

#define FLAGS(DO)                                    \
	DO(leave_running, leave_running)             \
	DO(ext_unix_sk, ext_unix_sk)                 \
	DO(tcp_established, tcp_established)         \
	DO(tcp_skip_in_flight, tcp_skip_in_flight)   \
	DO(tcp_close, tcp_close)                     \
	DO(weak_sysctls, weak_sysctls)               \
	DO(evasive_devices, evasive_devices)         \
	DO(shell_job, shell_job)                     \
	DO(skip_file_rwx_check, skip_file_rwx_check) \
	DO(unprivileged, unprivileged)               \
	DO(orphan_pts_master, orphan_pts_master)     \
	DO(file_locks, file_locks)                   \
	DO(track_mem, track_mem)                     \
	DO(auto_dedup, auto_dedup)                   \
	DO(force_irmap, force_irmap)                 \
	DO(link_remap, link_remap)                   \
	DO(manage_cgroups, manage_cgroups)           \
	DO(auto_ext_mnt, auto_ext_mnt)               \
	DO(ext_sharing, ext_sharing)                 \
	DO(ext_masters, ext_masters)                 \
	DO(mntns_compat_mode, mntns_compat_mode)

#define NUMBERS(DO)                            \
	DO(pid, pid, 11)                       \
	DO(work_dir_fd, work_dir_fd, 12)       \
	DO(log_level, log_level, 3)            \
	DO(pidfd_store_sk, pidfd_store_sk, 13) \
	DO(timeout, timeout, 14)               \
	DO(cpu_cap, cpu_cap, 15)               \
	DO(ghost_limit, ghost_limit, 16)       \
	DO(empty_ns, empty_ns, CLONE_NEWNET)   \
	DO(manage_cgroups_mode, manage_cgroups_mode, CRIU_CG_MODE_STRICT)

#define TEXTS(DO)                                \
	DO(parent_images, parent_img)            \
	DO(log_file, log_file)                   \
	DO(root, root)                           \
	DO(freeze_cgroup, freeze_cgroup)         \
	DO(lsm_profile, lsm_profile)             \
	DO(lsm_mount_context, lsm_mount_context) \
	DO(config_file, config_file)

#define LISTS(DO)                        \
	DO(enable_fs, enable_fs)         \
	DO(skip_mnt, skip_mnt)           \
	DO(irmap_path, irmap_scan_paths) \
	DO(external, external)

static int no_notify(char *action, criu_notify_arg_t na)
{
	return 0;
}

static void set_all(void)
{
	char *argv[] = { (char *)"sh", (char *)"-c", NULL };

#define SET(name, field) criu_set_##name(true);
	FLAGS(SET)
#undef SET
#define SET(name, field, value) criu_set_##name(value);
	NUMBERS(SET)
#undef SET
#define SET(name, field)                        \
	check_int(criu_set_##name("first"), 0); \
	check_int(criu_set_##name("text of " #name), 0);
	TEXTS(SET)
#undef SET
#define SET(name, field)                      \
	check_int(criu_add_##name("one"), 0); \
	check_int(criu_add_##name("two"), 0);
	LISTS(SET)
#undef SET
	criu_set_images_dir_fd(21);
	criu_set_notify_cb(no_notify);
	check_int(criu_set_exec_cmd(1, argv + 1), 0);
	check_int(criu_set_exec_cmd(2, argv), 0);
	check_int(criu_set_network_lock(CRIU_NETWORK_LOCK_NFTABLES), 0);
	check_int(criu_set_pre_dump_mode(CRIU_PRE_DUMP_READ), 0);
	check_int(criu_set_page_server_address_port("first", 1), 0);
	check_int(criu_set_page_server_address_port("::1", 22), 0);
	check_int(criu_add_unix_sk(23), 0);
	check_int(criu_add_ext_mount("key", "val"), 0);
	check_int(criu_add_veth_pair("in", "out"), 0);
	check_int(criu_add_cg_root(NULL, "/all"), 0);
	check_int(criu_add_cg_root("cpu", "/c"), 0);
	check_int(criu_add_inherit_fd(24, "pipe:[1]"), 0);
	check_int(criu_join_ns_add("net", "/n", NULL), 0);
	check_int(criu_join_ns_add("user", "5", "1,2"), 0);
}

static void check_all(const CriuOpts *o)
{
#define SEEN(name, field)      \
	check(o->has_##field); \
	check(o->field);
	FLAGS(SEEN)
#undef SEEN
#define SEEN(name, field, value) \
	check(o->has_##field);   \
	check_int(o->field, value);
	NUMBERS(SEEN)
#undef SEEN
#define SEEN(name, field_name) check_str(o->field_name, "text of " #name);
	TEXTS(SEEN)
#undef SEEN
#define SEEN(name, field)              \
	check_int(o->n_##field, 2);    \
	check_str(o->field[0], "one"); \
	check_str(o->field[1], "two");
	LISTS(SEEN)
#undef SEEN
	check_int(o->images_dir_fd, 21);
	check(o->notify_scripts);
	check_int(o->n_exec_cmd, 2);
	check_str(o->exec_cmd[1], "-c");
	check_int(o->network_lock, CRIU_NETWORK_LOCK_METHOD__NFTABLES);
	check_int(o->pre_dump_mode, CRIU_PRE_DUMP_MODE__VM_READ);
	check_str(o->ps->address, "::1");
	check_int(o->ps->port, 22);
	check_int(o->unix_sk_ino[0]->inode, 23);
	check_str(o->ext_mnt[0]->key, "key");
	check_str(o->ext_mnt[0]->val, "val");
	check_str(o->veths[0]->if_in, "in");
	check_str(o->veths[0]->if_out, "out");
	check_int(o->n_cg_root, 2);
	check(o->cg_root[0]->ctrl == NULL);
	check_str(o->cg_root[0]->path, "/all");
	check_str(o->cg_root[1]->ctrl, "cpu");
	check_int(o->inherit_fd[0]->fd, 24);
	check_str(o->inherit_fd[0]->key, "pipe:[1]");
	check(o->join_ns[0]->extra_opt == NULL);
	check_str(o->join_ns[1]->ns, "user");
	check_str(o->join_ns[1]->ns_file, "5");
	check_str(o->join_ns[1]->extra_opt, "1,2");
}

TEST(every_setter_reaches_its_field)
{
	CriuReq *req;

	fresh("ok");
	set_all();
	check_int(criu_get_version(), 40207);
	req = seen();
	check_int(req->type, CRIU_REQ_TYPE__VERSION);
	check_all(req->opts);
	criu_req__free_unpacked(req, NULL);
	criu_free_opts();
	check(no_child_is_left());
}

TEST(options_that_only_a_set_of_ones_own_has)
{
	criu_opts *opts = NULL;
	CriuReq *req;

	act("ok");
	check_int(criu_local_init_opts(&opts), 0);
	check_int(criu_local_set_service_binary(opts, "/proc/self/exe"), 0);
	check_int(criu_local_add_cg_props(opts, "props"), 0);
	check_int(criu_local_add_cg_props_file(opts, "file"), 0);
	check_int(criu_local_add_cg_yard(opts, "yard"), 0);
	check_int(criu_local_add_cg_dump_controller(opts, "a"), 0);
	check_int(criu_local_add_cg_dump_controller(opts, "b"), 0);
	check_int(criu_local_check_version(opts, 40207), 1);
	check_int(criu_local_check_version(opts, 40208), 0);
	req = seen();
	check_str(req->opts->cgroup_props, "props");
	check_str(req->opts->cgroup_props_file, "file");
	check_str(req->opts->cgroup_yard, "yard");
	check_int(req->opts->n_cgroup_dump_controller, 2);
	check_str(req->opts->cgroup_dump_controller[1], "b");
	criu_req__free_unpacked(req, NULL);
	/* a second init frees the first set */
	check_int(criu_local_init_opts(&opts), 0);
	criu_local_free_opts(opts);
	criu_local_free_opts(NULL);
}

/* What the ABI has no setter for; the engine takes it from configuration files. */
TEST(fields_without_a_setter_are_known)
{
	static const char *const none[] = {
		"status_fd",	 "lazy_pages",	  "tls_cacert",	      "tls_cacrl",  "tls_cert",
		"tls_key",	 "tls",		  "tls_no_cn_verify", "images_dir", "leave_stopped",
		"display_stats", "log_to_stderr", "rst_sibling",      NULL
	};
	static const char *const local[] = { "cgroup_props", "cgroup_props_file", "cgroup_yard",
					     "cgroup_dump_controller", NULL };
	const ProtobufCMessageDescriptor *d = &criu_opts__descriptor;
	CriuReq *req;

	fresh("ok");
	set_all();
	check_int(criu_get_version(), 40207);
	req = seen();
	for (unsigned int i = 0; i < d->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &d->fields[i];
		const char *at = (const char *)req->opts;
		const void *p = at + f->offset, *q = at + f->quantifier_offset;
		bool set = f->label == PROTOBUF_C_LABEL_REQUIRED, known = false;

		if (f->label == PROTOBUF_C_LABEL_REPEATED)
			set = *(const size_t *)q != 0;
		else if (f->type == PROTOBUF_C_TYPE_STRING || f->type == PROTOBUF_C_TYPE_MESSAGE)
			set = *(void *const *)p != NULL;
		else if (f->label == PROTOBUF_C_LABEL_OPTIONAL)
			set = *(const protobuf_c_boolean *)q;
		for (int k = 0; none[k]; k++)
			known |= strcmp(none[k], f->name) == 0;
		for (int k = 0; local[k]; k++)
			known |= strcmp(local[k], f->name) == 0;
		if (set == known)
			test_fail(__FILE__, __LINE__, "field %s: set: %d", f->name, set);
	}
	criu_req__free_unpacked(req, NULL);
}

TEST(setters_refuse_what_makes_no_sense)
{
	fresh("ok");
	check(criu_set_network_lock(0) < 0);
	check(criu_set_network_lock(4) < 0);
	check(criu_set_pre_dump_mode(3) < 0);
	criu_set_ext_unix_sk(false);
	check(criu_add_unix_sk(1) < 0);
	check(criu_add_external(NULL) < 0);
	check(criu_join_ns_add(NULL, "x", NULL) < 0);
	criu_set_service_fd(99);
	check_int(criu_add_inherit_fd(1, "x"), -1);
	check_int(criu_set_service_address(NULL), 0);
	check_int(criu_add_inherit_fd(1, "x"), -1);
}

TEST(failures_have_their_codes)
{
	static const struct {
		const char *fake;
		int code, error;
	} cases[] = {
		{ "ok", 0, 0 },
		{ "fail", -EBADE, ESRCH },
		{ "die", -ECOMM, ECONNRESET },
		{ "garbage", -ECOMM, EBADMSG },
		{ "unknown", -EINVAL, ESRCH },
		{ "other", -EBADMSG, 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		fresh(cases[i].fake);
		criu_set_pid(1);
		check_int(criu_dump(), cases[i].code);
		check_int(errno, cases[i].error);
		check_int(criu_pre_dump(), cases[i].code);
		check_int(criu_check(), cases[i].code);
		check(no_child_is_left());
	}
}

TEST(an_engine_that_is_not_there)
{
	fresh("ok");
	check_int(criu_set_service_binary("/nowhere/criu"), 0);
	check_int(criu_check(), -ECOMM);
	check(no_child_is_left());
	check_int(criu_set_service_address("/nowhere/socket"), 0);
	check_int(criu_check(), -ECONNREFUSED);
	check_int(errno, ENOENT);
	check_int(criu_dump_iters(NULL), -EINVAL);
}

static char stages[256];
static int refuse_at, stage_pid;

static int note_stage(char *action, criu_notify_arg_t na)
{
	strcat(strcat(stages, action), " ");
	if (criu_notify_pid(na))
		stage_pid = criu_notify_pid(na);
	return refuse_at && --refuse_at == 0 ? -5 : 0;
}

TEST(notifications_reach_the_callback)
{
	struct stat st;

	fresh("stages");
	stages[0] = '\0';
	criu_set_notify_cb(note_stage);
	check(criu_restore() > 0);
	check_str(stages, "pre-restore post-restore orphan-pts-master ");
	check_int(stage_pid, 77);
	check(fstat(criu_get_orphan_pts_master_fd(), &st) == 0 && S_ISFIFO(st.st_mode));
	close(criu_get_orphan_pts_master_fd());
	/* without a callback they are acknowledged all the same */
	fresh("stages");
	check(criu_restore() > 0);
	close(criu_get_orphan_pts_master_fd());
}

TEST(a_refusal_of_the_callback_ends_the_call)
{
	CriuReq *req;

	fresh("stages");
	stages[0] = '\0';
	refuse_at = 2;
	criu_set_notify_cb(note_stage);
	check_int(criu_restore(), -5);
	check_str(stages, "pre-restore post-restore ");
	req = seen();
	check_int(req->type, CRIU_REQ_TYPE__NOTIFY);
	check(req->has_notify_success && !req->notify_success);
	criu_req__free_unpacked(req, NULL);
	check(no_child_is_left());
}

TEST(versions_between_releases_count_as_the_next)
{
	fresh("ok");
	setenv("LIBCRIU_GITID", "v4.2-1", 1);
	check_int(criu_get_version(), 40300);
	setenv("LIBCRIU_GITID", "", 1);
	check_int(criu_get_version(), 40207);
}

TEST(features_are_those_asked_for)
{
	struct criu_feature_check f = { .mem_track = true, .lazy_pages = true };
	CriuReq *req;

	fresh("ok");
	check_int(criu_feature_check(&f, sizeof(f)), 0);
	check(!f.mem_track && f.lazy_pages && !f.pidfd_store);
	req = seen();
	check(req->features->has_mem_track && req->features->mem_track);
	check(!req->features->has_pidfd_store);
	check_int(req->opts->images_dir_fd, -1);
	criu_req__free_unpacked(req, NULL);
	check(criu_feature_check(NULL, sizeof(f)) < 0);
	check(criu_feature_check(&f, sizeof(f) + 1) < 0);
	/* of an older header: what lies behind is not touched */
	f.pidfd_store = true;
	check_int(criu_feature_check(&f, 1), 0);
	check(f.pidfd_store);
}

/* The engine must not be a child of the task that it dumps, and nothing else of ours either. */
TEST(a_self_dump_leaves_no_child)
{
	fresh("ok");
	check_int(criu_dump(), 0);
	check(no_child_is_left());
	setenv("LIBCRIU_RESTORED", "1", 1);
	check_int(criu_dump(), 1);
	criu_set_pid(1);
	check_int(criu_dump(), 1);
}

static int rounds;

static int one_more(criu_predump_info pi)
{
	return --rounds;
}

TEST(rounds_of_pre_dumps_share_a_connection)
{
	CriuReq *req;

	fresh("ok");
	criu_set_pid(1);
	rounds = 3;
	check_int(criu_dump_iters(one_more), 0);
	check_int(rounds, 0);
	req = seen();
	check_int(req->type, CRIU_REQ_TYPE__DUMP);
	criu_req__free_unpacked(req, NULL);
	check(no_child_is_left());
	rounds = 0;
	check_int(criu_dump_iters(one_more), -1);
}

/* It goes to the binary, whatever else was said, and asks for a sibling. */
TEST(restore_child_starts_the_binary)
{
	char dir[] = "/tmp/libcriu-XXXXXX", link[64], self[256], *path = getenv("PATH");
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	CriuReq *req;

	check(mkdtemp(dir) != NULL);
	self[len] = '\0';
	snprintf(link, sizeof(link), "%s/criu", dir);
	check_int(symlink(self, link), 0);
	fresh("ok");
	check_int(criu_set_service_address("/nowhere/socket"), 0);
	path = strdup(path ?: "");
	setenv("PATH", dir, 1);
	check(criu_restore_child() > 0);
	setenv("PATH", path, 1);
	free(path);
	req = seen();
	check(req->opts->has_rst_sibling && req->opts->rst_sibling);
	criu_req__free_unpacked(req, NULL);
	/* the address is still what it was */
	check_int(criu_check(), -ECONNREFUSED);
	check(no_child_is_left());
	unlink(link);
	rmdir(dir);
}

/* A service behind an address, and a connection of the caller's. */
TEST(a_service_is_asked_over_its_socket)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int sk = socket(AF_UNIX, SOCK_SEQPACKET, 0), pair[2], status;
	pid_t pid;

	fresh("ok");
	snprintf(addr.sun_path, sizeof(addr.sun_path), "/tmp/libcriu-%d", getpid());
	check_int(bind(sk, (struct sockaddr *)&addr, sizeof(addr)), 0);
	check_int(listen(sk, 1), 0);
	pid = fork();
	if (pid == 0)
		_exit(engine(accept(sk, NULL, NULL)));
	check_int(criu_set_service_address(addr.sun_path), 0);
	check_int(criu_check(), 0);
	check(waitpid(pid, &status, 0) == pid && status == 0);
	unlink(addr.sun_path);
	close(sk);

	check_int(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	pid = fork();
	if (pid == 0)
		_exit(engine(pair[1]));
	close(pair[1]);
	criu_set_service_fd(pair[0]);
	check_int(criu_check(), 0);
	check(waitpid(pid, &status, 0) == pid && status == 0);
}

/* The caller ignores SIGCHLD and has it blocked; its engine has neither. */
TEST(the_engine_gets_sigchld)
{
	sigset_t mask, old;

	sigemptyset(&mask);
	sigaddset(&mask, SIGCHLD);
	sigprocmask(SIG_BLOCK, &mask, &old);
	fresh("ok");
	check_int(criu_check(), 0);
	sigprocmask(SIG_SETMASK, &old, NULL);
}

struct test_state test_state;

int main(int argc, char **argv)
{
	int r;

	if (argc == 3 && strcmp(argv[1], "swrk") == 0) {
		sigset_t mask;

		sigprocmask(SIG_BLOCK, NULL, &mask);
		if (sigismember(&mask, SIGCHLD))
			return 7;
		return engine(atoi(argv[2]));
	}
	snprintf(seen_path, sizeof(seen_path), "/tmp/libcriu-seen-%d", getpid());
	setenv("LIBCRIU_SEEN", seen_path, 1);
	r = test_main(argc, argv);
	unlink(seen_path);
	criu_free_opts();
	return r;
}
