/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names and magics of the image types, and the set that holds a dump's metadata in memory. */
#include "engine/image/image.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/buf.h"
#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "engine/base/vec.h"
#include "engine/image/image-priv.h"

const struct image_kind image_kinds[IMG_TYPE_COUNT] = {
	[IMG_INVENTORY] = { HEAD_BARE, 0x58313116 },
	[IMG_PSTREE] = { HEAD_COMMON, 0x50273030 },
	[IMG_CORE] = { HEAD_COMMON, 0x55053847 },
	[IMG_IDS] = { HEAD_COMMON, 0x54432030 },
	[IMG_MM] = { HEAD_COMMON, 0x57492820 },
	[IMG_FS] = { HEAD_COMMON, 0x51403912 },
	[IMG_FDINFO] = { HEAD_COMMON, 0x56213732 },
	[IMG_FILES] = { HEAD_COMMON, 0x56303138 },
	[IMG_PAGEMAP] = { HEAD_COMMON, 0x56084025 },
	[IMG_SHMEM_PAGEMAP] = { HEAD_COMMON, 0x56084025 },
	[IMG_PAGES] = { HEAD_NONE, 0 },
	[IMG_TTY_INFO] = { HEAD_COMMON, 0x59453036 },
	[IMG_TTY_DATA] = { HEAD_COMMON, 0x59413026 },
	[IMG_REMAP_FPATH] = { HEAD_COMMON, 0x59133954 },
	[IMG_GHOST_FILE] = { HEAD_COMMON, 0x52583605 },
	[IMG_MEMFD_INODE] = { HEAD_COMMON, 0x48453499 },
	[IMG_SK_QUEUES] = { HEAD_COMMON, 0x56264026 },
	[IMG_PIPES_DATA] = { HEAD_COMMON, 0x56453709 },
	[IMG_FIFO_DATA] = { HEAD_COMMON, 0x59333054 },
	[IMG_TCP_STREAM] = { HEAD_COMMON, 0x51465506 },
	[IMG_FILE_LOCKS] = { HEAD_COMMON, 0x54323616 },
	[IMG_CGROUP] = { HEAD_COMMON, 0x59383330 },
	[IMG_SECCOMP] = { HEAD_COMMON, 0x64413049 },
	[IMG_APPARMOR] = { HEAD_COMMON, 0x59423047 },
	[IMG_UTSNS] = { HEAD_COMMON, 0x54473203 },
	[IMG_IPC_VAR] = { HEAD_COMMON, 0x53115007 },
	[IMG_IPCNS_SHM] = { HEAD_COMMON, 0x46283044 },
	[IMG_IPCNS_MSG] = { HEAD_COMMON, 0x55453737 },
	[IMG_IPCNS_SEM] = { HEAD_COMMON, 0x59573019 },
	[IMG_USERNS] = { HEAD_COMMON, 0x55474906 },
	[IMG_TIMENS] = { HEAD_COMMON, 0x43114433 },
	[IMG_PIDNS] = { HEAD_COMMON, 0x61157326 },
	[IMG_MNTS] = { HEAD_COMMON, 0x55563928 },
	[IMG_NETDEV] = { HEAD_COMMON, 0x57373951 },
	[IMG_NETNS] = { HEAD_COMMON, 0x55933752 },
	[IMG_NET_RAW] = { HEAD_NONE, 0 },
	[IMG_TMPFS] = { HEAD_NONE, 0 },
	[IMG_AUTOFS] = { HEAD_COMMON, 0x49353943 },
	[IMG_BINFMT_MISC] = { HEAD_COMMON, 0x67343323 },
	[IMG_CPUINFO] = { HEAD_COMMON, 0x61404013 },
	[IMG_STATS] = { HEAD_SERVICE, 0x57093306 },
};

/* So few images are written sooner than a thread is there. */
enum { BEGIN_WORTH = 8 };

struct image {
	enum image_type type;
	char *name;
	struct buf bytes;
	bool begun; /* the writer has it, or had it */
};

/* A thread that writes images; it sees nothing of the set that may still change. */
struct image_writer {
	pthread_t thread;
	int dirfd;
	VEC(struct image *) images;
	struct err err;
};

/* slots: the images by name, an open hash table of twice their number or more; indexes from 1. */
struct image_set {
	VEC(struct image *) images;
	uint32_t *slots;
	size_t n_slots;
	struct image_writer *writer; /* NULL: there is none */
};

int image_set_new(struct image_set **ret)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : -ENOMEM;
}

static void image_free(struct image *img)
{
	if (!img)
		return;
	buf_done(&img->bytes);
	free(img->name);
	free(img);
}

/* What the writer could not do is in err. */
static int wait_for_writer(struct image_set *set, struct err *err)
{
	struct image_writer *w = set->writer;
	int r;

	if (!w)
		return 0;
	pthread_join(w->thread, NULL);
	r = w->err.code;
	if (r < 0)
		*err = w->err;
	vec_free(&w->images);
	free(w);
	set->writer = NULL;
	return r;
}

void image_set_free(struct image_set *set)
{
	struct err ignored = ERR_INIT;
	struct image **i;

	if (!set)
		return;
	(void)!wait_for_writer(set, &ignored);
	vec_foreach (i, &set->images)
		image_free(*i);
	vec_free(&set->images);
	free(set->slots);
	free(set);
}

static int image_header(struct image *img)
{
	const struct image_kind *k = &image_kinds[img->type];
	uint32_t common = k->head == HEAD_SERVICE ? IMAGE_SERVICE_MAGIC : IMAGE_COMMON_MAGIC;
	int r = 0;

	if (k->head == HEAD_COMMON || k->head == HEAD_SERVICE)
		r = buf_append(&img->bytes, &common, sizeof(common));
	if (r == 0 && k->head != HEAD_NONE)
		r = buf_append(&img->bytes, &k->magic, sizeof(k->magic));
	return r;
}

/* The slot with that name, or the empty one where it belongs. There is always an empty one. */
static size_t slot_of(const struct image_set *set, const char *name)
{
	const char *c;
	size_t at = 5381;

	for (c = name; *c; c++)
		at = at * 33 + (unsigned char)*c;
	for (at &= set->n_slots - 1; set->slots[at]; at = (at + 1) & (set->n_slots - 1))
		if (strcmp(set->images.v[set->slots[at] - 1]->name, name) == 0)
			break;
	return at;
}

static int grow_slots(struct image_set *set)
{
	size_t n = set->n_slots ? set->n_slots * 2 : 256, i;
	uint32_t *slots, *old = set->slots;

	if (set->images.n * 2 + 2 < set->n_slots)
		return 0;
	slots = calloc(n, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	set->slots = slots;
	set->n_slots = n;
	for (i = 0; i < set->images.n; i++)
		slots[slot_of(set, set->images.v[i]->name)] = (uint32_t)i + 1;
	free(old);
	return 0;
}

static struct image *image_new(struct image_set *set, enum image_type type, char *name)
{
	struct image *img = calloc(1, sizeof(*img));
	struct image **slot;

	if (!img) {
		free(name);
		return NULL;
	}
	img->type = type;
	img->name = name;
	if (image_header(img) < 0 || grow_slots(set) < 0)
		slot = NULL;
	else
		slot = vec_add(&set->images);
	if (!slot) {
		image_free(img);
		return NULL;
	}
	*slot = img;
	set->slots[slot_of(set, name)] = (uint32_t)set->images.n;
	return img;
}

struct image *image_get(struct image_set *set, enum image_type type, const char *fmt, ...)
{
	uint32_t at;
	char *name;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&name, fmt, ap);
	va_end(ap);
	if (n < 0)
		return NULL;
	at = set->n_slots ? set->slots[slot_of(set, name)] : 0;
	if (!at)
		return image_new(set, type, name);
	free(name);
	return set->images.v[at - 1];
}

int image_add(struct image *img, const ProtobufCMessage *msg)
{
	size_t size = protobuf_c_message_get_packed_size(msg);
	uint32_t len = (uint32_t)size;
	int r;

	if (!img || size > UINT32_MAX)
		return -ENOMEM;
	r = buf_reserve(&img->bytes, sizeof(len) + size);
	if (r < 0)
		return r;
	buf_append(&img->bytes, &len, sizeof(len));
	protobuf_c_message_pack(msg, (uint8_t *)img->bytes.data + img->bytes.len);
	img->bytes.len += size;
	return 0;
}

int image_add_raw(struct image *img, const void *data, size_t len)
{
	return img ? buf_append(&img->bytes, data, len) : -ENOMEM;
}

static int image_write(const struct image *img, const char *name, int dirfd, struct err *err)
{
	const int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;
	cleanup_fd int fd = -EBADF;
	int r;

	fd = openat(dirfd, name, flags, 0600);
	if (fd < 0 && errno == EEXIST && unlinkat(dirfd, name, 0) == 0)
		fd = openat(dirfd, name, flags, 0600);
	if (fd < 0)
		return err_sys(err, -errno, "creating image '%s'", name);
	r = io_write_all(fd, img->bytes.data, img->bytes.len);
	if (r < 0) {
		err_sys(err, r, "writing image '%s'", name);
		if (r == -ENOSPC)
			err_hint(err, "free space on the file system of the image directory");
		return r;
	}
	return 0;
}

int image_save(const struct image *img, int dirfd, struct err *err)
{
	return img ? image_write(img, img->name, dirfd, err) : err_nomem(err);
}

static void *write_begun(void *arg)
{
	struct image_writer *w = arg;
	struct image **i;

	vec_foreach (i, &w->images)
		if (image_write(*i, (*i)->name, w->dirfd, &w->err) < 0)
			break;
	return NULL;
}

static bool is_one_of(const struct image *img, const enum image_type *types, size_t n)
{
	while (n)
		if (img->type == types[--n])
			return true;
	return false;
}

void image_set_begin(struct image_set *set, int dirfd, const enum image_type *types, size_t n)
{
	struct image_writer *w = calloc(1, sizeof(*w));
	struct image **i, **slot;
	sigset_t all, old;
	bool ok = w != NULL;

	unlinkat(dirfd, "inventory.img", 0);
	vec_foreach (i, &set->images) {
		if (!ok || !is_one_of(*i, types, n))
			continue;
		slot = vec_add(&w->images);
		if (slot)
			*slot = *i;
		ok = slot != NULL;
	}
	if (ok) {
		w->dirfd = dirfd;
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &old);
		ok = w->images.n > BEGIN_WORTH &&
		     pthread_create(&w->thread, NULL, write_begun, w) == 0;
		pthread_sigmask(SIG_SETMASK, &old, NULL);
	}
	if (ok) {
		vec_foreach (i, &w->images)
			(*i)->begun = true;
		set->writer = w;
	} else if (w) {
		vec_free(&w->images);
		free(w);
	}
}

int image_set_commit(struct image_set *set, int dirfd, struct err *err)
{
	const char *last = "inventory.img", *temp = ".inventory.img.new";
	struct image *inventory = NULL, **i;
	int r;

	vec_foreach (i, &set->images) {
		if ((*i)->type == IMG_INVENTORY) {
			inventory = *i;
			continue;
		}
		if ((*i)->begun)
			continue;
		r = image_write(*i, (*i)->name, dirfd, err);
		if (r < 0)
			return r;
	}
	r = wait_for_writer(set, err);
	if (r < 0)
		return r;
	if (!inventory)
		return err_new(err, ERR_INTERNAL, -EINVAL, "a dump without an inventory");
	r = image_write(inventory, temp, dirfd, err);
	if (r < 0)
		return r;
	/*
	 * One syncfs instead of an fsync a file: hundreds of small files cost one journal commit.
	 * The inventory's content is durable before its name is.
	 */
	if (syncfs(dirfd) < 0)
		return err_sys(err, -errno, "making the images durable");
	if (renameat(dirfd, temp, dirfd, last) < 0)
		return err_sys(err, -errno, "moving '%s' to its place", last);
	if (fsync(dirfd) < 0 && errno != EINVAL)
		return err_sys(err, -errno, "making '%s' durable", last);
	return 0;
}

void image_set_discard(struct image_set *set, int dirfd)
{
	struct err ignored = ERR_INIT;
	struct image **i;

	(void)!wait_for_writer(set, &ignored);
	vec_foreach (i, &set->images)
		unlinkat(dirfd, (*i)->name, 0);
	unlinkat(dirfd, ".inventory.img.new", 0);
}
