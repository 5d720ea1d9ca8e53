/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the writing and the reading side of the images share. */
#pragma once

#include <stdint.h>

#include "engine/image/image.h"

#define IMAGE_COMMON_MAGIC 0x54564319u
#define IMAGE_SERVICE_MAGIC 0x55105940u

enum image_head {
	HEAD_NONE,    /* raw */
	HEAD_BARE,    /* only its own magic: the inventory */
	HEAD_COMMON,  /* common magic, own magic */
	HEAD_SERVICE, /* service magic, own magic */
};

struct image_kind {
	enum image_head head;
	uint32_t magic;
};

extern const struct image_kind image_kinds[IMG_TYPE_COUNT];
