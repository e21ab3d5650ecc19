/* SPDX-License-Identifier: MIT */
/*
 * Control from inside. All of it runs on control's own thread, where a command may pause the VM and take some
 * time; what takes long (a migration) needs a thread of its own.
 */
#ifndef CONTROL_PARTS_H
#define CONTROL_PARTS_H

#include <stdatomic.h>

#include "control/control.h"
#include "host/rundir.h"
#include "host/uds.h"
#include "util/json-parse.h"
#include "util/json.h"
#include "util/loop.h"

struct client;
struct control_job;

struct control {
	struct control_config config;
	struct vm *vm;
	const struct machine_config *settings;
	struct rundir dir;
	struct uds_listener listener;
	char path[UDS_PATH_MAX + 1];
	loop_id first; /* the listener, on the machine's loop, until somebody connects */
	bool serving;  /* since then: */
	struct loop *loop;
	loop_id accepts, events;
	int event_fd; /* the verdict has another reason */
	struct client *clients[CONTROL_CLIENTS];
	uint32_t told;		 /* bits of verdict_reason that there were events for */
	bool stopped;		 /* by a client */
	const char *ended;	 /* the same: why it shall end, in QMP's words; or NULL */
	bool handed_on;		 /* directory and socket are another process's */
	struct control_job *job; /* snapshot.c's, NULL: there was none */
	struct control_migration *migration; /* migrate.c's, the same */
};

/* ---- Commands ---- */

struct call {
	struct control *control;
	struct client *client;
	const struct json_tree *tree;
	const struct json_value *args; /* NULL: none were given */
	/* Takes the value named "return": an object or an array. An empty object, if nothing is written. */
	struct json *reply;
	struct err *err;
	const char *class; /* of the error, if not GenericError */
};

struct control_command {
	const char *name;	       /* NULL ends a table */
	const char *args;	       /* their names, a space between; others are refused */
	int (*run)(struct call *call); /* 0 or -errno and a line */
	bool at_first;		       /* also before qmp_capabilities */
};

/* The tables of all commands, ends with NULL: commands.c. */
extern const struct control_command *const control_tables[];
extern const struct control_command control_query_commands[], control_run_commands[],
	control_inspect_commands[], control_balloon_commands[], control_snapshot_commands[],
	control_migrate_commands[];

/* A command came from this client: answers it. */
void control_command(struct client *client, const void *text, size_t len);

/* An argument that may be left out: false then. -EINVAL and a line: it is there, and no such thing. */
int control_flag(const struct call *call, const char *name, bool *out);

/* The device with that type's name, as in "virtio-balloon.0"; NULL: there is none. */
struct device *control_device(struct control *c, const char *name);

/* vm_pause() and the like have failed so: `rc`, and its line (run.c). */
int control_not_running(struct call *call, int rc);

/* "balloon": {...}, if there is one (balloon.c). */
void control_balloon_stats(struct control *c, struct json *j);

/* Waits for a snapshot that is being written; on the machine's thread, while the loop runs (snapshot.c). */
void control_end_job(struct control *c);

/* ---- Migration: migrate.c ---- */

bool control_is_migrating(struct control *c);

/* Its status may be another. */
void control_tell_migration(struct control *c);
void control_end_migration(struct control *c);

/* ---- Clients: client.c ---- */

/* Owns fd; greets it. NULL: no memory. */
struct client *client_create(struct control *c, int fd);
void client_destroy(struct client *client);

/* For one more: who is missed least is sent away, where there are CONTROL_CLIENTS. */
void client_make_room(struct control *c);

struct control *client_control(struct client *client);
bool client_negotiated(struct client *client);
void client_negotiate(struct client *client);

/* A whole line. Who has not read what is there for a long time is sent away. */
void client_send(struct client *client, const struct buf *line);

/* ---- The rest: control.c ---- */

/* Is told to all who have negotiated. `data` writes members of the event's data; NULL: there are none. */
void control_event(struct control *c, const char *name,
		   void (*data)(struct json *j, const void *opaque), const void *opaque);

/* Such data: who has ended it. `opaque`: why, in QMP's words. */
void control_ended_by(struct json *j, const void *opaque);

/* "version": {...} */
void control_version(struct control *c, struct json *j, const char *name);

#endif
