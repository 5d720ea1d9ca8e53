/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/base/still.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* Chunks grow, so that there are few of them: a fork copies each mapping. */
enum { FIRST_CHUNK = 256 << 10, LARGEST_CHUNK = 32 << 20 };

struct still_chunk {
	struct still_chunk *next;
	uint8_t *at;
	size_t used, size;
	int fd; /* of its file, -1: it is settled, or anonymous */
};

/* In front of every block; a freed one holds a still_hole. */
struct block {
	size_t size;
	_Alignas(16) uint8_t bytes[];
};

struct still_hole {
	struct still_hole *next;
};

static bool map_chunk(struct still_chunk *c)
{
	c->fd = memfd_create("ckpt-still", MFD_CLOEXEC);
	if (c->fd < 0 || ftruncate(c->fd, (off_t)c->size) < 0)
		return false;
	c->at = mmap(NULL, c->size, PROT_READ | PROT_WRITE, MAP_SHARED, c->fd, 0);
	return c->at != MAP_FAILED;
}

static struct still_chunk *add_chunk(struct still *s, size_t need)
{
	struct still_chunk *c = calloc(1, sizeof(*c));
	size_t size = s->chunks ? s->chunks->size * 2 : FIRST_CHUNK;

	if (!c)
		return NULL;
	size = size < LARGEST_CHUNK ? size : LARGEST_CHUNK;
	c->size = size > need ? size : (need + 0xfff) & ~(size_t)0xfff;
	if (!map_chunk(c)) {
		if (c->fd >= 0)
			close(c->fd);
		free(c);
		return NULL;
	}
	c->next = s->chunks;
	s->chunks = c;
	return c;
}

static struct still_hole **holes_of(struct still *s, size_t size)
{
	int i;

	for (i = 0; i < STILL_HOLES; i++) {
		if (!s->holes[i].size)
			s->holes[i].size = size;
		if (s->holes[i].size == size)
			return &s->holes[i].first;
	}
	return NULL;
}

void *still_alloc(struct still *s, size_t size)
{
	struct still_hole **hole;
	struct still_chunk *c = s->chunks;
	struct block *b;

	if (size > SIZE_MAX / 2)
		return NULL;
	size = size ? (size + 15) & ~(size_t)15 : 16;
	hole = holes_of(s, size);
	if (hole && *hole) {
		struct still_hole *found = *hole;

		*hole = found->next;
		return found;
	}
	if (!c || c->size - c->used < sizeof(*b) + size)
		c = add_chunk(s, sizeof(*b) + size);
	if (!c)
		return NULL;
	b = (struct block *)(c->at + c->used);
	c->used += sizeof(*b) + size;
	b->size = size;
	return b->bytes;
}

void still_free(struct still *s, void *p)
{
	struct still_hole *freed = p, **hole;

	if (!p)
		return;
	hole = holes_of(s, ((struct block *)((uint8_t *)p - sizeof(struct block)))->size);
	if (!hole)
		return;
	freed->next = *hole;
	*hole = freed;
}

int still_settle(struct still *s)
{
	struct still_chunk *c;

	for (c = s->chunks; c; c = c->next) {
		if (c->fd < 0)
			continue;
		if (mmap(c->at, c->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, c->fd,
			 0) != c->at)
			return -errno;
		close(c->fd);
		c->fd = -1;
	}
	return 0;
}

void still_done(struct still *s)
{
	while (s->chunks) {
		struct still_chunk *c = s->chunks;

		s->chunks = c->next;
		if (c->fd >= 0)
			close(c->fd);
		munmap(c->at, c->size);
		free(c);
	}
	*s = (struct still){ 0 };
}
