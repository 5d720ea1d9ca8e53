/* SPDX-License-Identifier: GPL-2.0-or-later */
/* System V objects. They belong to the IPC namespace, so only a container of its own can be saved.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/kcmp.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/workloads/groups.h"
#include "tests/workloads/memory.h"

#define SHM_SIZE (256 * 1024)
#define PAGE 4096
#define HUGE_PAGE (2u << 20)
#define N_SEMS 5
#define N_MESSAGES 4

static struct {
	int attached, detached, sem, msg;
	unsigned char *p, *second, *ro;
	key_t key;
	struct shmid_ds ds;
	unsigned char *huge;
} ipc = { .attached = -1, .detached = -1, .sem = -1, .msg = -1 };

struct message {
	long type;
	unsigned char data[500];
};

static size_t message_size(int i)
{
	return (size_t)(100 + 50 * i);
}

static int messages_send(void)
{
	for (int i = 0; i < N_MESSAGES; i++) {
		struct message m = { .type = 10 - i };

		pattern_fill(m.data, sizeof(m.data), 300 + (uint64_t)i);
		if (msgsnd(ipc.msg, &m, message_size(i), IPC_NOWAIT) < 0)
			return fail_errno("msgsnd");
	}
	return WL_OK;
}

/* Its name is taken away at once: it lives as long as it is attached. */
static int huge_setup(void)
{
	int id = shmget(IPC_PRIVATE, HUGE_PAGE, IPC_CREAT | SHM_HUGETLB | 0600);

	if (id < 0)
		return skip("no huge pages: %s", strerror(errno));
	ipc.huge = shmat(id, NULL, 0);
	shmctl(id, IPC_RMID, NULL);
	if (ipc.huge == (void *)-1)
		return fail_errno("shmat");
	pages_fill(ipc.huge, HUGE_PAGE, 72);
	return WL_OK;
}

static int huge_verify(void)
{
	if (!smaps_flag(ipc.huge, "ht") || smaps_field(ipc.huge, "KernelPageSize") != 2048)
		return fail("the segment is not of huge pages any more");
	return pages_check(ipc.huge, HUGE_PAGE, 72, "segment of huge pages");
}

static int shm_setup(void)
{
	ipc.attached = shmget(ipc.key, SHM_SIZE, IPC_CREAT | IPC_EXCL | 0640);
	ipc.detached = shmget(ipc.key + 1, SHM_SIZE, IPC_CREAT | IPC_EXCL | 0600);
	if (ipc.attached < 0 || ipc.detached < 0)
		return fail_errno("shmget");
	ipc.p = shmat(ipc.detached, NULL, 0);
	if (ipc.p == (void *)-1)
		return fail_errno("shmat");
	pages_fill(ipc.p, SHM_SIZE, 70);
	shmdt(ipc.p);
	ipc.p = shmat(ipc.attached, NULL, 0);
	ipc.second = shmat(ipc.attached, NULL, 0);
	ipc.ro = shmat(ipc.attached, NULL, SHM_RDONLY);
	if (ipc.p == (void *)-1 || ipc.second == (void *)-1 || ipc.ro == (void *)-1)
		return fail_errno("shmat");
	pages_fill(ipc.p, SHM_SIZE, 71);
	/* an attachment with a hole, one end cut off, and a part that is protected otherwise */
	if (strict() && (munmap(ipc.second + 10 * PAGE, 2 * PAGE) < 0 ||
			 munmap(ipc.second + SHM_SIZE - PAGE, PAGE) < 0 ||
			 mprotect(ipc.second + 20 * PAGE, 4 * PAGE, PROT_READ) < 0))
		return fail_errno("munmap or mprotect");
	return shmctl(ipc.attached, IPC_STAT, &ipc.ds) < 0 ? fail_errno("IPC_STAT") : WL_OK;
}

static int ipc_setup(void)
{
	unsigned short values[N_SEMS] = { 0, 1, 200, 3000, 32767 };

	ipc.key = 0x51000000 + getpid() * 4;
	if (shm_setup() != WL_OK)
		return WL_FAIL;
	if (param("huge", 0)) {
		int r = huge_setup();

		if (r != WL_OK)
			return r;
	}
	ipc.sem = semget(ipc.key, N_SEMS, IPC_CREAT | IPC_EXCL | 0604);
	ipc.msg = msgget(ipc.key, IPC_CREAT | IPC_EXCL | 0620);
	if (ipc.sem < 0 || ipc.msg < 0)
		return fail_errno("semget or msgget");
	if (semctl(ipc.sem, 0, SETALL, values) < 0)
		return fail_errno("SETALL");
	return messages_send();
}

static int shm_verify(void)
{
	struct shmid_ds ds;
	unsigned char *p;
	int r;

	if (shmget(ipc.key, 0, 0) != ipc.attached || shmget(ipc.key + 1, 0, 0) != ipc.detached)
		return fail("the keys lead to other segments");
	if (shmctl(ipc.attached, IPC_STAT, &ds) < 0 || ds.shm_segsz != SHM_SIZE ||
	    (ds.shm_perm.mode & 0777) != 0640 || ds.shm_nattch != ipc.ds.shm_nattch)
		return fail("segment: size %zu, mode %o, %lu attached", ds.shm_segsz,
			    ds.shm_perm.mode, (unsigned long)ds.shm_nattch);
	if (pages_check(ipc.p, SHM_SIZE, 71, "attached segment") != WL_OK)
		return WL_FAIL;
	ipc.p[5] ^= 0xff;
	r = ipc.second[5] == ipc.p[5] && ipc.ro[5] == ipc.p[5];
	ipc.p[5] ^= 0xff;
	if (!r)
		return fail("the attachments are not one and the same memory");
	if (strcmp(maps_perms(ipc.second + 24 * PAGE), "rw-s") ||
	    strcmp(maps_perms(ipc.ro), "r--s") ||
	    (strict() && strcmp(maps_perms(ipc.second + 20 * PAGE), "r--s")))
		return fail("protections of attachments changed");
	if (strict() &&
	    (*maps_perms(ipc.second + 10 * PAGE) || *maps_perms(ipc.second + SHM_SIZE - PAGE)))
		return fail("unmapped parts of an attachment are there");
	if (strict() && mprotect(ipc.ro, PAGE, PROT_READ | PROT_WRITE) == 0)
		return fail("a read-only attachment can be made writable");
	p = shmat(ipc.detached, NULL, 0);
	if (p == (void *)-1)
		return fail_errno("shmat");
	r = pages_check(p, SHM_SIZE, 70, "detached segment");
	shmdt(p);
	return r;
}

static int sem_verify(void)
{
	static const unsigned short want[N_SEMS] = { 0, 1, 200, 3000, 32767 };
	struct sembuf no_wait = { 0, -1, IPC_NOWAIT };
	unsigned short values[N_SEMS];
	struct semid_ds ds;

	if (semget(ipc.key, 0, 0) != ipc.sem)
		return fail("the key leads to another semaphore set");
	if (semctl(ipc.sem, 0, IPC_STAT, &ds) < 0 || ds.sem_nsems != N_SEMS ||
	    (ds.sem_perm.mode & 0777) != 0604)
		return fail("semaphore set: %lu, mode %o", (unsigned long)ds.sem_nsems,
			    ds.sem_perm.mode);
	if (semctl(ipc.sem, 0, GETALL, values) < 0 || memcmp(values, want, sizeof(want)))
		return fail("the values of the semaphores changed");
	if (semop(ipc.sem, &no_wait, 1) == 0 || errno != EAGAIN)
		return fail("a semaphore at 0 can be taken");
	return WL_OK;
}

/* In the order in which they were sent, then sent again. */
static int msg_verify(void)
{
	struct msqid_ds ds;

	if (msgget(ipc.key, 0) != ipc.msg)
		return fail("the key leads to another message queue");
	if (msgctl(ipc.msg, IPC_STAT, &ds) < 0 || ds.msg_qnum != N_MESSAGES ||
	    (ds.msg_perm.mode & 0777) != 0620)
		return fail("message queue: %lu messages, mode %o", (unsigned long)ds.msg_qnum,
			    ds.msg_perm.mode);
	for (int i = 0; i < N_MESSAGES; i++) {
		struct message m;
		ssize_t n = msgrcv(ipc.msg, &m, sizeof(m.data), 0, IPC_NOWAIT);

		if (n != (ssize_t)message_size(i) || m.type != 10 - i)
			return fail("message %d has %zd bytes, type %ld", i, n, m.type);
		if (pattern_check(m.data, message_size(i), 300 + (uint64_t)i, "message") != WL_OK)
			return WL_FAIL;
	}
	return messages_send();
}

static int ipc_verify(void)
{
	int r = shm_verify();

	if (r == WL_OK && ipc.huge)
		r = huge_verify();
	if (r == WL_OK)
		r = sem_verify();
	return r == WL_OK ? msg_verify() : r;
}

static void ipc_teardown(void)
{
	shmctl(ipc.attached, IPC_RMID, NULL);
	shmctl(ipc.detached, IPC_RMID, NULL);
	semctl(ipc.sem, 0, IPC_RMID);
	msgctl(ipc.msg, IPC_RMID, NULL);
}

/* ---- sem-undo: what the end of a process adds to semaphores ---- */

static const struct undone {
	unsigned short value; /* without the operations */
	short ops[2];
} undone[] = {
	{ 10, { -3 } },
	{ 10, { 5 } },
	{ 100, { 30000 } },
	{ 5, { 1, -1 } },
	{ 32767, { -32767 } },
	{ 0, { 32767 } },
	{ 20000, { -10000, -10000 } },
};

enum { N_UNDONE = ARRAY_SIZE(undone) };

static struct {
	int id, shared;
	/* the process that did it; a thread of another; two that share what is to be undone */
	struct station *stations;
	pid_t pair[2];
} su = { .id = -1, .shared = -1 };

static int undone_check(bool done, const char *when)
{
	unsigned short now[N_UNDONE];

	if (semctl(su.id, 0, GETALL, now) < 0)
		return fail_errno("GETALL");
	for (size_t i = 0; i < N_UNDONE; i++) {
		int want = undone[i].value + (done ? undone[i].ops[0] + undone[i].ops[1] : 0);

		if (now[i] != want)
			return fail("semaphore %zu is %u instead of %d %s", i, now[i], want, when);
	}
	return WL_OK;
}

static int undone_do(void)
{
	for (size_t i = 0; i < N_UNDONE; i++)
		for (size_t k = 0; k < 2; k++) {
			struct sembuf op = { (unsigned short)i, undone[i].ops[k],
					     IPC_NOWAIT | SEM_UNDO };

			if (op.sem_op && semop(su.id, &op, 1) < 0)
				return fail_errno("semop %d", op.sem_op);
		}
	return WL_OK;
}

/* Leaving the list of operations ends it, as the end of the process would. */
static int undone_verify_self(void *arg)
{
	int r = undone_check(true, "before");

	if (r == WL_OK && unshare(CLONE_SYSVSEM) < 0)
		return fail_errno("unshare");
	if (r == WL_OK)
		r = undone_check(false, "when all is undone");
	return r == WL_OK ? undone_do() : r;
}

static void undone_run(void *arg)
{
	undone_do();
	station_serve(&su.stations[0], undone_verify_self, NULL);
}

static int bystander_verify(void *arg)
{
	return WL_OK;
}

static void *bystander_run(void *arg)
{
	station_serve(&su.stations[1], bystander_verify, NULL);
}

/*
 * One has made the largest adjustment that there can be. So the other, who shares it, cannot add to
 * that.
 */
static int pair_verify(void *arg)
{
	struct sembuf more = { 0, -1, IPC_NOWAIT | SEM_UNDO };

	if (semop(su.shared, &more, 1) == 0 || errno != ERANGE)
		return fail_errno("an adjustment can be made larger");
	return WL_OK;
}

static void second_run(void *arg)
{
	station_serve(&su.stations[3], pair_verify, NULL);
}

static void first_run(void *arg)
{
	struct sembuf ops[] = { { 0, -SHRT_MAX, SEM_UNDO }, { 0, 1, 0 } };

	semop(su.shared, ops, 2);
	child_clone(CLONE_SYSVSEM, second_run, NULL);
	station_serve(&su.stations[2], pair_verify, NULL);
}

static int su_verify(void)
{
	int r = station_ask(&su.stations[0], "the one with semaphores");

	if (r == WL_OK)
		r = station_ask(&su.stations[2], "first of a pair");
	if (r == WL_OK)
		r = station_ask(&su.stations[3], "second of a pair");
	if (r == WL_OK && syscall(SYS_kcmp, su.pair[0], su.pair[1], KCMP_SYSVSEM, 0, 0))
		return fail("the pair does not share what is to be undone");
	return r;
}

static int pair_setup(void)
{
	char path[64], text[32] = "";
	int fd;

	su.shared = semget(IPC_PRIVATE, 1, IPC_CREAT | 0600);
	if (su.shared < 0 || semctl(su.shared, 0, SETVAL, SHRT_MAX) < 0)
		return fail_errno("semget");
	su.pair[0] = child_start(first_run, NULL);
	if (su.pair[0] < 0 || station_ask(&su.stations[3], "second of a pair") != WL_OK)
		return WL_FAIL;
	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", su.pair[0], su.pair[0]);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		return fail_errno("reading '%s'", path);
	close(fd);
	su.pair[1] = atoi(text);
	return WL_OK;
}

/* The first process has a thread, and with it a list that stays empty. */
static int su_setup(void)
{
	unsigned short values[N_UNDONE];
	pthread_t thread;

	for (size_t i = 0; i < N_UNDONE; i++)
		values[i] = undone[i].value;
	su.stations = stations_new(4);
	su.id = semget(IPC_PRIVATE, N_UNDONE, IPC_CREAT | 0600);
	if (su.id < 0 || semctl(su.id, 0, SETALL, values) < 0 || !su.stations)
		return fail_errno("semget");
	if (pthread_create(&thread, NULL, bystander_run, NULL))
		return fail_errno("pthread_create");
	if (child_start(undone_run, NULL) < 0)
		return fail_errno("fork");
	return pair_setup() == WL_OK ? su_verify() : WL_FAIL;
}

static void su_teardown(void)
{
	semctl(su.id, 0, IPC_RMID);
	semctl(su.shared, 0, IPC_RMID);
}

static struct workload_param ipc_params[] = {
	{ "huge", 0, "1: a segment of huge pages too" },
	STRICT_PARAM,
	{ 0 },
};

const struct workload ipc_workloads[] = {
	{ "sysvipc", "System V memory, semaphores and messages (needs its own IPC namespace)",
	  ipc_params, ipc_setup, ipc_verify, NULL, 0, ipc_teardown },
	{ "sem-undo", "what the end of a process gives back to semaphores (SEM_UNDO)", NULL,
	  su_setup, su_verify, NULL, 0, su_teardown },
	{ 0 },
};
