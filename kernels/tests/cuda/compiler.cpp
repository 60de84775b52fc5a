// A library with NVRTC's interface that makes shared objects for the emulating driver, by way of g++.
//
// `EMULATION` is the path of emulation.h, `SANITIZE` options of g++. An image is the text "EMULATED", if it is
// for the emulated device, which is sm_90, its length in 8 bytes, and the shared object.
#include <filesystem>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <string>

struct Program {
    std::string source, log, image;
};

enum { SUCCESS = 0, OUT_OF_RANGE = 3, INVALID_OPTION = 5, COMPILATION = 6 };

static std::string contents(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::stringstream all;
    all << file.rdbuf();
    return all.str();
}

extern "C" {

int nvrtcVersion(int* major, int* minor) {
    *major = 13, *minor = 0;
    return SUCCESS;
}

const char* nvrtcGetErrorString(int code) { return code == COMPILATION ? "NVRTC_ERROR_COMPILATION" : "NVRTC_ERROR"; }

int nvrtcCreateProgram(Program** program, const char* source, const char*, int, const char* const*, const char* const*) {
    *program = new Program{source, "", ""};
    return SUCCESS;
}

int nvrtcDestroyProgram(Program** program) {
    delete *program;
    *program = nullptr;
    return SUCCESS;
}

int nvrtcCompileProgram(Program* program, int count, const char* const* options) {
    std::string arch;
    for (int i = 0; i < count; i++) {
        if (!strncmp(options[i], "--gpu-architecture=sm_", 22)) arch = options[i] + 22;
    }
    if (arch.empty()) {
        program->log = "no architecture";
        return INVALID_OPTION;
    }
    std::string base = std::filesystem::temp_directory_path() / "emulation-XXXXXX";
    if (!mkdtemp(base.data())) return OUT_OF_RANGE;
    std::ofstream(base + "/kernel.cu") << "#include \"" EMULATION "\"\n#line 1\n" << program->source << "\nEMULATION_OF(kernel)\n";
    std::string command = "env -u LD_PRELOAD g++ -x c++ -std=c++17 -O1 -w -shared -fPIC -ffp-contract=off " SANITIZE
                          " -fno-strict-aliasing -o " + base +
                          "/kernel.so " + base + "/kernel.cu -lm 2> " + base + "/log";
    int status = system(command.c_str());
    program->log = contents(base + "/log");
    std::string object = contents(base + "/kernel.so");
    unsigned long long length = object.size();
    program->image = (arch == "90" || arch == "90a" ? "EMULATED" : "FOR sm_8") + std::string((const char*)&length, 8) + object;
    for (const char* name : {"/kernel.cu", "/kernel.so", "/log"}) unlink((base + name).c_str());
    rmdir(base.c_str());
    return status == 0 && length > 0 ? SUCCESS : COMPILATION;
}

int nvrtcGetCUBINSize(Program* program, size_t* size) {
    *size = program->image.size();
    return SUCCESS;
}

int nvrtcGetCUBIN(Program* program, char* image) {
    memcpy(image, program->image.data(), program->image.size());
    return SUCCESS;
}

int nvrtcGetProgramLogSize(Program* program, size_t* size) {
    *size = program->log.size() + 1;
    return SUCCESS;
}

int nvrtcGetProgramLog(Program* program, char* log) {
    memcpy(log, program->log.c_str(), program->log.size() + 1);
    return SUCCESS;
}
}
