package alliance;

import ca.uhn.fhir.rest.api.server.RequestDetails;
import ca.uhn.fhir.rest.server.interceptor.RequestValidatingInterceptor;
import ca.uhn.fhir.validation.IValidatorModule;
import ca.uhn.fhir.validation.ResultSeverityEnum;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;

/** Refuses writes that break the rules of FHIR's core or of the profiles they claim. */
final class WriteValidation extends RequestValidatingInterceptor {

    WriteValidation(IValidatorModule validator) {
        addValidatorModule(validator);
        setFailOnSeverity(ResultSeverityEnum.ERROR);
    }

    /** Lets profiles through: to judge one, the validator would fetch FHIR's own package from the internet. */
    @Override
    public boolean incomingRequestPostProcessed(
            RequestDetails request, HttpServletRequest servletRequest, HttpServletResponse servletResponse) {
        return "StructureDefinition".equals(request.getResourceName())
                || super.incomingRequestPostProcessed(request, servletRequest, servletResponse);
    }
}
