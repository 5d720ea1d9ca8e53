/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ns_load() on images of all sorts. No namespace is made. */
#include "engine/ns/ns-priv.h"

#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <unistd.h>

#include "proto/ipc.pb-c.h"
#include "proto/namespaces.pb-c.h"
#include "proto/network.pb-c.h"
#include "proto/task.pb-c.h"
#include "tests/lib/test.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

/* A restore of two tasks, and a folder with images. */
struct world {
	char dir[64];
	struct restore r;
	struct ckpt_options opts;
	struct restore_task tasks[2];
	TaskKobjIdsEntry ids[2];
	struct image_set *images;
	struct log log;
	struct err err;
};

static void set_ids(TaskKobjIdsEntry *e)
{
	task_kobj_ids_entry__init(e);
	e->has_pid_ns_id = e->has_net_ns_id = e->has_ipc_ns_id = e->has_uts_ns_id = true;
	e->has_mnt_ns_id = e->has_user_ns_id = e->has_cgroup_ns_id = e->has_time_ns_id = true;
	e->pid_ns_id = 1;
	e->net_ns_id = 2;
	e->ipc_ns_id = 3;
	e->uts_ns_id = 4;
	e->time_ns_id = 5;
	e->mnt_ns_id = 6;
	e->user_ns_id = 7;
	e->cgroup_ns_id = 8;
}

static void world_init(struct world *w)
{
	static const uint32_t host[NS_TYPE_COUNT] = {
		[NS_PID] = 1,  [NS_NET] = 2, [NS_IPC] = 3,  [NS_UTS] = 4,
		[NS_TIME] = 5, [NS_MNT] = 6, [NS_USER] = 7, [NS_CGROUP] = 8,
	};

	memset(w, 0, sizeof(*w));
	strcpy(w->dir, "/tmp/test-ns-XXXXXX");
	check(mkdtemp(w->dir));
	ckpt_options_init(&w->opts);
	w->opts.unprivileged = true; /* no clocks unless a test is about them */
	log_init(&w->log, -1, LOG_ERROR);
	w->r.opts = &w->opts;
	w->r.log = &w->log;
	w->r.images_fd = open(w->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	memcpy(w->r.host_ns.id, host, sizeof(host));
	for (int i = 0; i < 2; i++) {
		struct restore_task **t = vec_add(&w->r.tasks);

		set_ids(&w->ids[i]);
		w->tasks[i].ids = &w->ids[i];
		w->tasks[i].ns_pid = i + 1;
		*t = &w->tasks[i];
	}
	image_set_new(&w->images);
	image_get(w->images, IMG_INVENTORY, "inventory.img");
}

static int rm(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static void world_done(struct world *w)
{
	ProtobufCMessage **m;

	ns_done(&w->r);
	vec_foreach (m, &w->r.messages)
		protobuf_c_message_free_unpacked(*m, NULL);
	vec_free(&w->r.messages);
	still_done(&w->r.still);
	vec_free(&w->r.tasks);
	arena_done(&w->r.arena);
	image_set_free(w->images);
	close(w->r.images_fd);
	nftw(w->dir, rm, 8, FTW_DEPTH | FTW_PHYS);
}

static void add(struct world *w, enum image_type type, const char *name, const ProtobufCMessage *m)
{
	check_int(image_add(image_get(w->images, type, "%s", name), m), 0);
}

static int load(struct world *w)
{
	check_int(image_set_commit(w->images, w->r.images_fd, &w->err), 0);
	return ns_load(&w->r, &w->err);
}

static void all_in(struct world *w, size_t field, uint32_t id)
{
	for (int i = 0; i < 2; i++)
		*(uint32_t *)((char *)&w->ids[i] + field) = id;
}
#define OWN(w, field, id) all_in(w, offsetof(TaskKobjIdsEntry, field), id)

TEST(nothing_of_its_own)
{
	struct world w;

	world_init(&w);
	check_int(load(&w), 0);
	check_int(w.r.new_ns, 0);
	check_int(ns_clone_flags(&w.r), 0);
	world_done(&w);
}

TEST(nested_namespaces_are_refused)
{
	struct world w;

	world_init(&w);
	w.ids[1].uts_ns_id = 9;
	check(load(&w) < 0);
	check_int(w.err.class, ERR_UNSUPPORTED);
	check(strstr(w.err.text, "task 2") && strstr(w.err.text, "uts"));
	world_done(&w);
}

TEST(zombies_have_no_ids)
{
	struct world w;

	world_init(&w);
	w.tasks[1].ids = NULL;
	w.tasks[1].dead = true;
	check_int(load(&w), 0);
	world_done(&w);
	world_init(&w);
	w.tasks[0].ids = NULL;
	check(load(&w) < 0);
	check_int(w.err.class, ERR_IMAGE);
	world_done(&w);
}

static int load_uts(struct world *w, const char *node, const char *domain)
{
	UtsnsEntry e = UTSNS_ENTRY__INIT;

	world_init(w);
	OWN(w, uts_ns_id, 9);
	e.nodename = (char *)node;
	e.domainname = (char *)domain;
	add(w, IMG_UTSNS, "utsns-9.img", &e.base);
	return load(w);
}

TEST(uts)
{
	static const char long_name[] = "0123456789012345678901234567890123456789"
					"0123456789012345678901234";
	struct world w;

	check_int(load_uts(&w, "host", "(none)"), 0);
	check_int(w.r.new_ns, CLONE_NEWUTS);
	check_int(ns_clone_flags(&w.r), CLONE_NEWUTS);
	world_done(&w);
	check(load_uts(&w, long_name, "") < 0);
	check_int(w.err.class, ERR_IMAGE);
	world_done(&w);
	check_int(load_uts(&w, long_name + 1, ""), 0);
	world_done(&w);
}

TEST(missing_image_is_told)
{
	struct world w;

	world_init(&w);
	OWN(&w, uts_ns_id, 9);
	check(load(&w) < 0);
	check_int(w.err.class, ERR_IMAGE);
	check(strstr(w.err.text, "utsns-9.img"));
	world_done(&w);
}

static int load_user(struct world *w, uint32_t first, uint32_t lower, uint32_t count)
{
	UsernsEntry e = USERNS_ENTRY__INIT;
	UidGidExtent x = UID_GID_EXTENT__INIT, *list[] = { &x };

	world_init(w);
	OWN(w, user_ns_id, 9);
	x.first = first;
	x.lower_first = lower;
	x.count = count;
	e.n_uid_map = e.n_gid_map = 1;
	e.uid_map = e.gid_map = list;
	add(w, IMG_USERNS, "userns-9.img", &e.base);
	return load(w);
}

TEST(user)
{
	static const struct {
		uint32_t first, lower, count;
		bool good;
	} t[] = {
		{ 0, 100000, 65536, true },  { 1000, 1000, 1, true },
		{ 0, 0, UINT32_MAX, true },  { 0, 0, 0, false },
		{ 1, 0, UINT32_MAX, false }, { 0, UINT32_MAX, 2, false },
	};
	struct world w;

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		int r = load_user(&w, t[i].first, t[i].lower, t[i].count);

		check_int(r == 0, t[i].good);
		if (!t[i].good)
			check_int(w.err.class, ERR_IMAGE);
		world_done(&w);
	}
}

TEST(pid)
{
	PidnsEntry e = PIDNS_ENTRY__INIT;
	struct world w;

	world_init(&w);
	OWN(&w, pid_ns_id, 9);
	check_int(load(&w), 0);
	check_int(ns_clone_flags(&w.r), CLONE_NEWPID);
	world_done(&w);

	world_init(&w);
	OWN(&w, pid_ns_id, 9);
	w.tasks[0].ns_pid = 5;
	check(load(&w) < 0);
	check_int(w.err.class, ERR_IMAGE);
	world_done(&w);

	/* external, and nobody hands one over */
	world_init(&w);
	OWN(&w, pid_ns_id, 9);
	w.tasks[0].ns_pid = 5;
	e.ext_key = (char *)"extRootPidNS";
	add(&w, IMG_PIDNS, "pidns-9.img", &e.base);
	check(load(&w) < 0);
	check_int(w.err.class, ERR_USAGE);
	check(strstr(w.err.text, "extRootPidNS"));
	world_done(&w);
}

TEST(external_namespace_is_joined)
{
	PidnsEntry e = PIDNS_ENTRY__INIT;
	struct ckpt_inherit_fd given = { .key = "k" };
	struct world w;

	for (int wrong = 0; wrong < 2; wrong++) {
		world_init(&w);
		OWN(&w, pid_ns_id, 9);
		e.ext_key = (char *)"k";
		add(&w, IMG_PIDNS, "pidns-9.img", &e.base);
		given.fd = open(wrong ? "/proc/self/ns/uts" : "/proc/self/ns/pid",
				O_RDONLY | O_CLOEXEC);
		w.opts.inherit_fds = &given;
		w.opts.n_inherit_fds = 1;
		check_int(load(&w), wrong ? -EINVAL : 0);
		if (!wrong) {
			check_int(ns_clone_flags(&w.r), 0);
			check(w.r.ns->join[NS_PID] >= 0);
		}
		close(given.fd);
		world_done(&w);
	}
}

TEST(time_goes_on_also_without_a_namespace)
{
	TimensEntry e = TIMENS_ENTRY__INIT;
	Timespec m = TIMESPEC__INIT, b = TIMESPEC__INIT;
	struct world w;

	if (access("/proc/self/ns/time", F_OK) < 0)
		skip("no time namespaces");
	e.monotonic = &m;
	e.boottime = &b;
	for (int own = 0; own < 2; own++) {
		m.tv_sec = 100;
		m.tv_nsec = 5;
		world_init(&w);
		w.opts.unprivileged = false;
		if (own)
			OWN(&w, time_ns_id, 9);
		add(&w, IMG_TIMENS, own ? "timens-9.img" : "timens-0.img", &e.base);
		check_int(load(&w), 0);
		check_int(w.r.new_ns, CLONE_NEWTIME);
		check_int(ns_clone_flags(&w.r), 0); /* the builder makes it */
		world_done(&w);

		m.tv_nsec = 1000000000;
		world_init(&w);
		w.opts.unprivileged = false;
		if (own)
			OWN(&w, time_ns_id, 9);
		add(&w, IMG_TIMENS, own ? "timens-9.img" : "timens-0.img", &e.base);
		check(load(&w) < 0);
		check_int(w.err.class, ERR_IMAGE);
		world_done(&w);
	}
}

static void add_ipc_vars(struct world *w, size_t n_sem)
{
	IpcVarEntry e = IPC_VAR_ENTRY__INIT;
	uint32_t sem[5] = { 1, 2, 3, 4, 5 };

	world_init(w);
	OWN(w, ipc_ns_id, 9);
	e.n_sem_ctls = n_sem;
	e.sem_ctls = sem;
	add(w, IMG_IPC_VAR, "ipcns-var-9.img", &e.base);
}

TEST(ipc_settings)
{
	struct world w;

	add_ipc_vars(&w, 4);
	check_int(load(&w), 0);
	check_int(ns_clone_flags(&w.r), CLONE_NEWIPC);
	world_done(&w);
	add_ipc_vars(&w, 3);
	check(load(&w) < 0);
	check_int(w.err.class, ERR_IMAGE);
	world_done(&w);
}

TEST(semaphores_need_their_values)
{
	IpcDescEntry desc = IPC_DESC_ENTRY__INIT;
	IpcSemEntry e = IPC_SEM_ENTRY__INIT;
	static const uint16_t values[8] = { 1, 2, 3 };
	struct world w;

	e.desc = &desc;
	e.nsems = 5;
	for (int cut = 0; cut < 2; cut++) {
		add_ipc_vars(&w, 4);
		add(&w, IMG_IPCNS_SEM, "ipcns-sem-9.img", &e.base);
		image_add_raw(image_get(w.images, IMG_IPCNS_SEM, "ipcns-sem-9.img"), values,
			      cut ? 8 : 16);
		check_int(load(&w) == 0, !cut);
		world_done(&w);
	}
	add_ipc_vars(&w, 4);
	e.nsems = UINT32_MAX;
	add(&w, IMG_IPCNS_SEM, "ipcns-sem-9.img", &e.base);
	check(load(&w) < 0);
	world_done(&w);
}

TEST(queues_need_their_messages)
{
	IpcDescEntry desc = IPC_DESC_ENTRY__INIT;
	IpcMsgEntry e = IPC_MSG_ENTRY__INIT;
	IpcMsg m = IPC_MSG__INIT;
	struct image *img;
	struct world w;

	e.desc = &desc;
	for (uint32_t n = 1; n < 3; n++) {
		add_ipc_vars(&w, 4);
		e.qnum = n;
		add(&w, IMG_IPCNS_MSG, "ipcns-msg-9.img", &e.base);
		m.mtype = 7;
		m.msize = 3;
		add(&w, IMG_IPCNS_MSG, "ipcns-msg-9.img", &m.base);
		img = image_get(w.images, IMG_IPCNS_MSG, "ipcns-msg-9.img");
		image_add_raw(img, "abc\0\0\0\0\0", 8);
		check_int(load(&w) == 0, n == 1);
		world_done(&w);
	}
	add_ipc_vars(&w, 4);
	e.qnum = 1;
	add(&w, IMG_IPCNS_MSG, "ipcns-msg-9.img", &e.base);
	m.mtype = 0; /* msgsnd() takes none */
	m.msize = 0;
	add(&w, IMG_IPCNS_MSG, "ipcns-msg-9.img", &m.base);
	check(load(&w) < 0);
	world_done(&w);
}

static void add_device(struct world *w, NdType type, const char *name, uint32_t flags)
{
	NetDeviceEntry e = NET_DEVICE_ENTRY__INIT;

	e.type = type;
	e.ifindex = 1;
	e.mtu = 1500;
	e.flags = flags;
	e.name = (char *)name;
	add(w, IMG_NETDEV, "netdev-9.img", &e.base);
}

TEST(net_devices)
{
	struct world w;

	world_init(&w);
	OWN(&w, net_ns_id, 9);
	add_device(&w, ND_TYPE__LOOPBACK, "lo", 9);
	add_device(&w, ND_TYPE__SIT, "sit0", 0);
	check_int(load(&w), 0);
	check_int(ns_clone_flags(&w.r), CLONE_NEWNET);
	world_done(&w);

	for (int empty = 0; empty < 2; empty++) {
		world_init(&w);
		OWN(&w, net_ns_id, 9);
		w.opts.empty_ns = empty ? CLONE_NEWNET : 0;
		add_device(&w, ND_TYPE__LOOPBACK, "lo", 9);
		add_device(&w, ND_TYPE__VETH, "eth0", 1);
		check_int(load(&w), empty ? 0 : -EOPNOTSUPP);
		if (!empty)
			check(strstr(w.err.text, "eth0"));
		world_done(&w);
	}
}

TEST(net_settings_have_types)
{
	SysctlEntry s = SYSCTL_ENTRY__INIT, *list[] = { &s };
	NetnsEntry e = NETNS_ENTRY__INIT;
	struct world w;

	for (int text = 0; text < 2; text++) {
		world_init(&w);
		OWN(&w, net_ns_id, 9);
		s.type = text ? SYSCTL_TYPE__CTL_STR : SYSCTL_TYPE__CTL_32;
		s.sarg = text ? (char *)"1" : NULL;
		e.n_def_conf4 = 1;
		e.def_conf4 = list;
		add(&w, IMG_NETNS, "netns-9.img", &e.base);
		check_int(load(&w) == 0, !text);
		world_done(&w);
	}
}

TEST(join_ns)
{
	static const struct {
		const char *ns, *file, *extra;
		bool good;
	} t[] = {
		{ "uts", "/proc/self/ns/uts", NULL, true },
		{ "uts", "/proc/self/ns/net", NULL, false },
		{ "uts", "/dev/null", NULL, false },
		{ "uts", "/nonexistent", NULL, false },
		{ "pid", "/proc/self/ns/pid", NULL, false },
		{ "cgroup", "/proc/self/ns/cgroup", NULL, false },
		{ "fish", "/proc/self/ns/uts", NULL, false },
		{ "user", "/proc/self/ns/user", "1,2", true },
		{ "user", "/proc/self/ns/user", "1", false },
		{ "user", "/proc/self/ns/user", "1,2,3", false },
	};
	struct world w;
	char self[16];

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct ckpt_join_ns j = { t[i].ns, t[i].file, t[i].extra };

		world_init(&w);
		/* its image is not even looked for when it is joined */
		OWN(&w, uts_ns_id, strcmp(t[i].ns, "uts") ? 4 : 9);
		w.opts.join_ns = &j;
		w.opts.n_join_ns = 1;
		check_int(ns_load(&w.r, &w.err) == 0, t[i].good);
		if (!t[i].good)
			check(w.err.class == ERR_USAGE || w.err.class == ERR_ENVIRONMENT);
		world_done(&w);
	}

	world_init(&w);
	OWN(&w, uts_ns_id, 9);
	snprintf(self, sizeof(self), "%d", getpid());
	struct ckpt_join_ns by_pid[2] = { { "uts", self, NULL }, { "uts", self, NULL } };

	w.opts.join_ns = by_pid;
	w.opts.n_join_ns = 1;
	check_int(load(&w), 0);
	check_int(w.r.new_ns, 0);
	world_done(&w);

	world_init(&w);
	w.opts.join_ns = by_pid;
	w.opts.n_join_ns = 2;
	check(load(&w) < 0);
	world_done(&w);
}

TEST_MAIN()
