package alliance;

import ca.uhn.fhir.rest.api.server.RequestDetails;
import ca.uhn.fhir.rest.server.interceptor.RequestValidatingInterceptor;
import ca.uhn.fhir.validation.IValidatorModule;
import ca.uhn.fhir.validation.ResultSeverityEnum;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.nio.charset.StandardCharsets;
import org.hl7.fhir.r4.model.Bundle;
import org.hl7.fhir.r4.model.StructureDefinition;

/** Refuses writes that break the rules of FHIR's core or of the profiles they claim. */
final class WriteValidation extends RequestValidatingInterceptor {

    WriteValidation(IValidatorModule validator) {
        addValidatorModule(validator);
        setFailOnSeverity(ResultSeverityEnum.ERROR);
    }

    /**
     * Lets profiles through, also in a transaction of nothing else: to judge one, the validator would fetch FHIR's own
     * package from the internet.
     */
    @Override
    public boolean incomingRequestPostProcessed(
            RequestDetails request, HttpServletRequest servletRequest, HttpServletResponse servletResponse) {
        return "StructureDefinition".equals(request.getResourceName())
                || isAllProfiles(request)
                || super.incomingRequestPostProcessed(request, servletRequest, servletResponse);
    }

    private static boolean isAllProfiles(RequestDetails request) {
        if (request.getResourceName() != null || request.loadRequestContents().length == 0) {
            return false;
        }
        var bundle = request.getFhirContext().newJsonParser().parseResource(
                new String(request.loadRequestContents(), StandardCharsets.UTF_8));
        return bundle instanceof Bundle found
                && !found.getEntry().isEmpty()
                && found.getEntry().stream().allMatch(entry -> entry.getResource() instanceof StructureDefinition);
    }
}
