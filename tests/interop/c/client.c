/* Client on libgearman; see ../README.md. */
#include <libgearman-1.0/gearman.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *output_path;
static const char *payload;
static size_t payload_size;
static int many, right;

static void say(const char *what, gearman_task_st *task) {
  printf("%s %.*s\n", what, (int)gearman_task_data_size(task), (const char *)gearman_task_data(task));
}

static gearman_return_t created(gearman_task_st *task) {
  (void)task;
  if (!many) puts("CREATED");
  return GEARMAN_SUCCESS;
}

static gearman_return_t status(gearman_task_st *task) {
  printf("STATUS %u/%u\n", gearman_task_numerator(task), gearman_task_denominator(task));
  return GEARMAN_SUCCESS;
}

static gearman_return_t data(gearman_task_st *task) { say("DATA", task); return GEARMAN_SUCCESS; }
static gearman_return_t warning(gearman_task_st *task) { say("WARNING", task); return GEARMAN_SUCCESS; }
static gearman_return_t exception(gearman_task_st *task) { say("EXCEPTION", task); return GEARMAN_SUCCESS; }
static gearman_return_t fail(gearman_task_st *task) { (void)task; puts("FAIL"); return GEARMAN_SUCCESS; }

static gearman_return_t complete(gearman_task_st *task) {
  const char *result = gearman_task_data(task);
  size_t size = gearman_task_data_size(task);
  if (many) {
    char expected[256];
    size_t length = (size_t)snprintf(expected, sizeof expected, "%.*s %s", (int)payload_size, payload,
                                     gearman_task_unique(task));
    size_t i = 0;
    if (size != length) return GEARMAN_SUCCESS;
    while (i < size && result[i] == expected[length - 1 - i]) i++;
    right += i == size;
    return GEARMAN_SUCCESS;
  }
  FILE *out = fopen(output_path, "wb");
  if (out == NULL) return GEARMAN_ERRNO;
  if (size > 0) fwrite(result, 1, size, out);
  fclose(out);
  puts("COMPLETE");
  return GEARMAN_SUCCESS;
}

static char *read_file(const char *path, size_t *size) {
  FILE *in = fopen(path, "rb");
  char *bytes;
  if (in == NULL) return NULL;
  fseek(in, 0, SEEK_END);
  *size = (size_t)ftell(in);
  rewind(in);
  bytes = malloc(*size + 1);
  if (bytes != NULL && fread(bytes, 1, *size, in) != *size) { free(bytes); bytes = NULL; }
  fclose(in);
  return bytes;
}

typedef gearman_task_st *(*add_fn)(gearman_client_st *, gearman_task_st *, void *, const char *, const char *,
                                   const void *, size_t, gearman_return_t *);

int main(int argc, char **argv) {
  static const struct { const char *name; add_fn add; } operations[] = {
    {"normal", gearman_client_add_task}, {"high", gearman_client_add_task_high},
    {"low", gearman_client_add_task_low}, {"bg", gearman_client_add_task_background},
    {"high_bg", gearman_client_add_task_high_background},
    {"low_bg", gearman_client_add_task_low_background},
  };
  gearman_client_st *client = gearman_client_create(NULL);
  const char *operation, *function;
  gearman_return_t ret = GEARMAN_SUCCESS;
  size_t i, known = 0;
  pid_t other = -1;
  if (argc < 7 || client == NULL) return 2;
  operation = argv[3];
  function = argv[4];
  output_path = argv[6];
  payload = read_file(argv[5], &payload_size);
  if (payload == NULL) return 2;
  /* libgearman finds tasks by their handle, so two with one handle need a client each. */
  if (strcmp(operation, "unique") == 0) other = fork();
  setvbuf(stdout, NULL, _IOLBF, 0);
  gearman_client_add_server(client, argv[1], (in_port_t)atoi(argv[2]));
  gearman_client_set_timeout(client, 60000);
  gearman_client_set_server_option(client, "exceptions", strlen("exceptions"));
  gearman_client_set_created_fn(client, created);
  gearman_client_set_status_fn(client, status);
  gearman_client_set_data_fn(client, data);
  gearman_client_set_warning_fn(client, warning);
  gearman_client_set_exception_fn(client, exception);
  gearman_client_set_fail_fn(client, fail);
  gearman_client_set_complete_fn(client, complete);

  for (i = 0; i < sizeof operations / sizeof operations[0]; i++) {
    if (strcmp(operation, operations[i].name) == 0) {
      operations[i].add(client, NULL, NULL, function, NULL, payload, payload_size, &ret);
      known = 1;
    }
  }
  if (strcmp(operation, "unique") == 0 && argc > 7) {
    gearman_client_add_task(client, NULL, NULL, function, argv[7], payload, payload_size, &ret);
    known = 1;
  } else if (strcmp(operation, "many") == 0) {
    many = known = 1;
    for (i = 0; i < 200; i++) {
      char unique[16], *bytes = malloc(payload_size + 16);
      snprintf(unique, sizeof unique, "%zu", i);
      snprintf(bytes, payload_size + 16, "%.*s %s", (int)payload_size, payload, unique);
      gearman_client_add_task(client, NULL, NULL, function, unique, bytes, strlen(bytes), &ret);
    }
  } else if (strcmp(operation, "epoch") == 0 && argc > 7) {
    gearman_task_attr_t attr = gearman_task_attr_init_epoch(atol(argv[7]), GEARMAN_JOB_PRIORITY_NORMAL);
    gearman_argument_t work = gearman_argument_make(NULL, 0, payload, payload_size);
    if (gearman_execute(client, function, strlen(function), NULL, 0, &attr, &work, NULL) == NULL) {
      fprintf(stderr, "gearman_execute: %s\n", gearman_client_error(client));
      return 1;
    }
    return 0;
  }
  if (!known) return 3;
  ret = gearman_client_run_tasks(client);
  if (gearman_failed(ret)) fprintf(stderr, "run_tasks: %s\n", gearman_client_error(client));
  if (many) printf("MANY %d\n", right);
  if (other > 0) waitpid(other, NULL, 0);
  return 0;
}
