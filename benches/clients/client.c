/* The client of libgearman: HOST PORT LOAD FUNCTION JOBS, as client.rs beside it. */
#include <libgearman-1.0/gearman.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BYTES 64
#define BATCH 1000
#define IN_FLIGHT 64

static char payload[BYTES];
static unsigned long complete;

static gearman_return_t completed(gearman_task_st *task) {
  if (gearman_task_data_size(task) == BYTES) complete++;
  return GEARMAN_SUCCESS;
}

static gearman_return_t created(gearman_task_st *task) {
  (void)task;
  complete++;
  return GEARMAN_SUCCESS;
}

static int single(gearman_client_st *client, const char *function, unsigned long jobs) {
  unsigned long i;
  for (i = 0; i < jobs; i++) {
    size_t size;
    gearman_return_t ret;
    char *result = gearman_client_do(client, function, NULL, payload, BYTES, &size, &ret);
    if (ret != GEARMAN_SUCCESS || size != BYTES) return 1;
    complete++;
    free(result);
  }
  return 0;
}

/* So many tasks at a time, until all are done. */
static int tasks(gearman_client_st *client, const char *function, unsigned long jobs, unsigned long batch,
                 int background) {
  unsigned long done, i;
  for (done = 0; done < jobs; done += batch) {
    for (i = 0; i < batch; i++) {
      gearman_return_t ret;
      if (background) {
        gearman_client_add_task_background(client, NULL, NULL, function, NULL, payload, BYTES, &ret);
      } else {
        gearman_client_add_task(client, NULL, NULL, function, NULL, payload, BYTES, &ret);
      }
      if (ret != GEARMAN_SUCCESS) return 1;
    }
    if (gearman_client_run_tasks(client) != GEARMAN_SUCCESS) return 1;
    gearman_client_task_free_all(client);
  }
  return 0;
}

int main(int argc, char **argv) {
  gearman_client_st *client = gearman_client_create(NULL);
  unsigned long jobs;
  int failed;
  if (argc != 6 || client == NULL) return 2;
  memset(payload, 'x', BYTES);
  gearman_client_add_server(client, argv[1], (in_port_t)atoi(argv[2]));
  jobs = strtoul(argv[5], NULL, 10);
  if (strcmp(argv[3], "single") == 0) {
    failed = single(client, argv[4], jobs);
  } else if (strcmp(argv[3], "background") == 0) {
    gearman_client_set_created_fn(client, created);
    failed = tasks(client, argv[4], jobs, BATCH, 1);
  } else {
    gearman_client_set_complete_fn(client, completed);
    failed = tasks(client, argv[4], jobs, IN_FLIGHT, 0);
  }
  if (failed || complete != jobs) {
    fprintf(stderr, "%lu of %lu: %s\n", complete, jobs, gearman_client_error(client));
    return 1;
  }
  return 0;
}
