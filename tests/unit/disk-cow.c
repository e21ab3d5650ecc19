/* SPDX-License-Identifier: MIT */
/*
 * host/disk-cow: writes are seen and the image is not touched, against a copy in memory; who may
 * open it beside us; what goes wrong while it runs.
 */
#include "host/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/disk-queue.h"
#include "tests/unit/tap.h"
#include "util/util.h"

#define SECTORS 4096u
#define SIZE (SECTORS * (size_t)DISK_SECTOR)

static uint8_t image[SIZE], model[SIZE], buffer[SIZE];

static uint8_t noise(size_t i)
{
	return (uint8_t)(i * 31 + i / 512 * 17 + 5);
}

static void make_image(void)
{
	int fd = open("image", O_CREAT | O_TRUNC | O_RDWR, 0600);

	for (size_t i = 0; i < SIZE; i++)
		image[i] = noise(i);
	memcpy(model, image, SIZE);
	if (fd < 0 || write(fd, image, SIZE) != (ssize_t)SIZE)
		ok(false, "an image is made");
	close(fd);
}

static bool image_is_whole(void)
{
	int fd = open("image", O_RDONLY);
	bool whole = read(fd, buffer, SIZE) == (ssize_t)SIZE && !memcmp(buffer, image, SIZE);

	close(fd);
	return whole;
}

static struct disk *opened(void)
{
	struct disk_config config = { .path = "image", .cow = true };
	struct err err = { "" };
	struct disk *disk = NULL;

	if (disk_open(&config, &disk, &err))
		ok(false, "%s", err.text);
	return disk;
}

static int transfer(struct disk *disk, bool write, unsigned int sector, unsigned int n, void *data)
{
	struct iovec iov[2] = { { data, 100 }, { (uint8_t *)data + 100, n * DISK_SECTOR - 100 } };
	uint64_t at = sector * (uint64_t)DISK_SECTOR;

	return write ? disk_write(disk, iov, 2, at, false) : disk_read(disk, iov, 2, at);
}

/* Many small writes here and there; the same in memory; all of it read in pieces of any length. */
static void test_model(void)
{
	struct disk *disk = opened();
	unsigned int wrong = 0, seed = 1;

	ok(disk_size(disk) == SIZE && !disk_read_only(disk) && disk_block_size(disk) == 512,
	   "an overlay is as large as its image, and can be written");
	for (unsigned int i = 0; i < 2000; i++) {
		unsigned int sector = (unsigned int)rand_r(&seed) % SECTORS;
		unsigned int n = 1 + (unsigned int)rand_r(&seed) % MIN(200u, SECTORS - sector);
		uint8_t *at = model + sector * DISK_SECTOR;

		if (i % 3) {
			wrong += transfer(disk, false, sector, n, buffer) ||
				 memcmp(buffer, at, n * DISK_SECTOR);
		} else {
			n = MIN(n, 1 + n % 7);
			memset(at, (int)i, n * DISK_SECTOR);
			wrong += transfer(disk, true, sector, n, at) != 0;
		}
	}
	ok(!wrong, "what is written is read, and what isn't comes from the image (%u wrong)",
	   wrong);
	ok(!transfer(disk, false, 0, SECTORS, buffer) && !memcmp(buffer, model, SIZE),
	   "all of it at once");
	ok(!disk_flush(disk), "flushed");
	disk_close(disk);
	ok(image_is_whole(), "the image is as it was");
	disk = opened();
	ok(!transfer(disk, false, 0, SECTORS, buffer) && !memcmp(buffer, image, SIZE),
	   "and the next overlay begins with it");
	disk_close(disk);
}

static void test_sharing(void)
{
	struct disk_config config = { .path = "image" };
	struct disk *a = opened(), *b = opened(), *c;
	struct err err = { "" };

	memset(buffer, 0xaa, 512);
	ok(a && b && !transfer(a, true, 7, 1, buffer), "two overlays over one image");
	ok(!transfer(b, false, 7, 1, buffer) && !memcmp(buffer, image + 7 * 512, 512),
	   "neither sees the other's writes");
	ok(disk_open(&config, &c, &err) == -EBUSY, "nobody may write below them: %s", err.text);
	disk_close(a);
	disk_close(b);
	ok(!disk_open(&config, &c, &err), "afterwards, they may");
	disk_close(c);
	chmod("image", 0400);
	a = opened();
	ok(a && !disk_read_only(a), "an image that can't be written");
	disk_close(a);
	chmod("image", 0600);
	config.read_only = config.cow = true;
	ok(!disk_open(&config, &a, &err) && disk_read_only(a), "read-only is read-only");
	disk_close(a);
	config.read_only = false;
	config.direct = true;
	ok(disk_open(&config, &a, &err) == -EINVAL && strstr(err.text, "direct"), "refused: %s",
	   err.text);
}

static unsigned int files_here(void)
{
	DIR *dir = opendir(".");
	unsigned int n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static void test_folder(void)
{
	unsigned int before = files_here();
	struct disk_config config = { .path = "image", .cow = true };
	struct err err = { "" };
	struct disk *disk;

	setenv("TMPDIR", ".", 1);
	disk = opened();
	transfer(disk, true, 0, SECTORS, memset(buffer, 1, SIZE));
	ok(disk && files_here() == before, "in TMPDIR, nothing is seen of it");
	disk_close(disk);
	setenv("TMPDIR", "missing", 1);
	ok(disk_open(&config, &disk, &err) == -ENOENT && strstr(err.text, "TMPDIR") &&
		   strstr(err.text, "missing"),
	   "refused: %s", err.text);
	unsetenv("TMPDIR");
}

/* A file that may not grow stands for one whose disk is full. */
static void test_full(void)
{
	struct disk *disk = opened();
	struct rlimit limit = { 0 }, old;
	int rc;

	getrlimit(RLIMIT_FSIZE, &old);
	limit = old;
	limit.rlim_cur = SIZE / 2 + 512;
	signal(SIGXFSZ, SIG_IGN);
	memset(buffer, 0x55, SIZE);
	setrlimit(RLIMIT_FSIZE, &limit);
	rc = transfer(disk, true, SECTORS / 2, 8, buffer);
	ok(rc == -EFBIG, "a write that finds no room fails (%d)", rc);
	ok(!transfer(disk, true, 3, 2, buffer), "and others don't");
	setrlimit(RLIMIT_FSIZE, &old);
	ok(!transfer(disk, false, SECTORS / 2, 8, buffer) &&
		   !memcmp(buffer, image + SIZE / 2, 8 * 512),
	   "what failed is not there");
	ok(!transfer(disk, false, 2, 4, buffer) && !memcmp(buffer, image + 2 * 512, 512) &&
		   buffer[512] == 0x55 && buffer[3 * 512 - 1] == 0x55 &&
		   !memcmp(buffer + 3 * 512, image + 5 * 512, 512),
	   "what didn't is");
	if (truncate("image", SIZE / 2))
		ok(false, "truncate");
	ok(transfer(disk, false, SECTORS - 8, 8, buffer) == -EIO, "an image cut short: EIO");
	ok(!transfer(disk, true, SECTORS - 8, 8, buffer) &&
		   !transfer(disk, false, SECTORS - 8, 8, buffer),
	   "and what is written there is read");
	disk_close(disk);
	make_image();
}

struct crew {
	struct disk *disk;
	unsigned int first, wrong;
};

/* Each its own sectors, which share words of the overlay's map. */
static void *worker(void *arg)
{
	struct crew *c = arg;
	uint8_t data[1024];

	for (unsigned int sector = c->first; sector + 2 <= SECTORS; sector += 8) {
		memset(data, (int)(sector + 1), sizeof(data));
		c->wrong += transfer(c->disk, true, sector, 2, data) != 0;
		memset(data, 0, sizeof(data));
		c->wrong += transfer(c->disk, false, sector, 2, data) != 0;
		c->wrong += data[0] != (uint8_t)(sector + 1) || data[1023] != data[0];
	}
	return NULL;
}

static void test_threads(void)
{
	struct disk *disk = opened();
	struct crew crew[4];
	pthread_t threads[4];
	unsigned int wrong = 0;

	for (unsigned int i = 0; i < 4; i++) {
		crew[i] = (struct crew){ disk, i * 2, 0 };
		pthread_create(&threads[i], NULL, worker, &crew[i]);
	}
	for (unsigned int i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		wrong += crew[i].wrong;
	}
	transfer(disk, false, 0, SECTORS, buffer);
	for (unsigned int sector = 0; sector < SECTORS; sector++)
		wrong += buffer[sector * 512] != (uint8_t)(sector / 2 * 2 + 1);
	ok(!wrong, "four threads write side by side (%u wrong)", wrong);
	disk_close(disk);
}

static void test_queue(void)
{
	struct disk *disk = opened();
	struct disk_queue *q;

	ok(disk_queue_create(disk, 4, "uring", &q) == -ENOTSUP, "io_uring knows nothing of it");
	ok(!disk_queue_create(disk, 4, NULL, &q) && !strcmp(disk_queue_engine(q), "threads"),
	   "threads are what works");
	disk_queue_destroy(q);
	disk_close(disk);
}

int main(void)
{
	char folder[] = "/var/tmp/kindling-cow-XXXXXX";

	unsetenv("TMPDIR");
	if (!mkdtemp(folder) || chdir(folder)) {
		printf("Bail out! no folder for files\n");
		return 1;
	}
	make_image();
	test_model();
	test_sharing();
	test_folder();
	test_full();
	test_threads();
	test_queue();
	unlink("image");
	ok(!chdir("/") && !rmdir(folder), "all is cleaned up");
	return done_testing();
}
